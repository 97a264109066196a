"""MATLAB files, as other tools write them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from plankton_da.errors import ManifestError
from plankton_da.manifests.ingest.mat import read_mat


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_numbers_of_any_kind(kind: str, packed: bool, tmp_path: Path) -> None:
    values = np.arange(12).reshape(4, 3).astype(kind)
    savemat(tmp_path / "a.mat", {"rows": values, "other": 1}, do_compression=packed)
    found = read_mat(tmp_path / "a.mat", ("rows", "absent"))
    assert found.keys() == {"rows"}
    assert np.array_equal(found["rows"], values)


def test_names_with_any_letters_and_empty_cells(tmp_path: Path) -> None:
    names = ["Mesodinium_rubrum", "", "é ü", "a", "浮游"]
    cells = np.empty((1, 7), dtype=object)
    cells[0, :5] = names
    cells[0, 5] = np.zeros((0, 0))
    cells[0, 6] = np.ones((2, 2))
    savemat(tmp_path / "a.mat", {"classes": cells})
    assert read_mat(tmp_path / "a.mat", ("classes",))["classes"] == [*names, "", ""]


def test_other_kinds_of_variables_are_passed_over(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"s": {"x": 1, "y": "text"}, "text": "word", "rows": [[1.5]]})
    found = read_mat(tmp_path / "a.mat", ("s", "text", "rows"))
    assert found.keys() == {"rows"}


def test_numbers_that_are_not_numbers(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"rows": [[1, np.nan, np.inf]]})
    assert np.array_equal(
        read_mat(tmp_path / "a.mat", ("rows",))["rows"], [[1, np.nan, np.inf]], equal_nan=True
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_an_error(share: float, tmp_path: Path) -> None:
    stream = io.BytesIO()
    savemat(stream, {"rows": np.ones((50, 3))})
    whole = stream.getvalue()
    path = tmp_path / "truncated.mat"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ManifestError, match=r"truncated\.mat: (a damaged .mat file|no MATLAB)"):
        read_mat(path, ("rows",))


def test_what_is_no_matlab_file(tmp_path: Path) -> None:
    for content in (b"", b"x" * 500):
        (tmp_path / "a.mat").write_bytes(content)
        with pytest.raises(ManifestError, match="no MATLAB file of level 5"):
            read_mat(tmp_path / "a.mat", ())
    with pytest.raises(ManifestError, match="cannot be read"):
        read_mat(tmp_path / "absent.mat", ())


def test_more_dimensions_than_an_array_can_have(tmp_path: Path) -> None:
    path = tmp_path / "deep.mat"
    savemat(path, {"rows": np.ones((1,) * 32)})
    assert read_mat(path, ("rows",))["rows"].size == 1  # type: ignore[union-attr]
    raw = path.read_bytes()
    sizes = raw.index((5).to_bytes(4, "little") + (128).to_bytes(4, "little"))
    more = raw[sizes + 8 : sizes + 136] * 9
    whole = len(raw) - 136 + len(more) - 128
    raw = raw[: sizes + 4] + len(more).to_bytes(4, "little") + more + raw[sizes + 136 :]
    path.write_bytes(raw[:132] + whole.to_bytes(4, "little") + raw[136:])
    with pytest.raises(ManifestError, match="rows has 288 dimensions"):
        read_mat(path, ("rows",))


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "formats" / "ifcb"
    classes = read_mat(folder / "v2_class" / "class2use.mat", ("class2use",))["class2use"]
    assert len(classes) == 127
    assert classes[:2] == ["unclassified", "Dinobryon_spp"]
    manual = read_mat(
        folder / "v2_class" / "D20220522T000439_IFCB134.mat", ("classlist", "class2use_manual")
    )
    assert np.shape(manual["classlist"]) == (8, 3)
    assert len(manual["class2use_manual"]) == 127
    scores = read_mat(
        folder / "class_v1" / "D20220522T003051_IFCB134_class_v1.mat",
        ("TBscores", "class2useTB", "roinum"),
    )
    best = np.asarray(scores["TBscores"])
    assert best.shape == (2, 45)
    assert np.ravel(scores["roinum"]).tolist() == [2, 3]
    names = scores["class2useTB"]
    assert len(names) == 46
    assert [names[place] for place in best.argmax(axis=1)] == ["Mesodinium_rubrum"] * 2
    assert best.max(axis=1).round(2).tolist() == [0.63, 0.69]
    assert names[-1] == "unclassified"
