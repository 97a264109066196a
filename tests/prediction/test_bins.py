"""IFCB bins as INPUTs: every ROI once, by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.errors import DataError
from plankton_da.images.ifcb import read_bin
from plankton_da.images.refs import open_image
from plankton_da.manifests.ingest import build_manifest
from plankton_da.prediction.folder import classify
from plankton_da.prediction.inputs import Inputs, Item

OLD, NEW = "IFCB3_2008_013_013423", "D20160714T023910_IFCB101"


def items(*paths: Path, folder: Path) -> list[Item]:
    inputs = Inputs(paths, folder, instrument="CAM2")
    found = list(inputs)
    assert inputs.count() == len(found)
    assert len({item.key() for item in found}) == len(found)
    return found


@pytest.mark.parametrize("pid", [OLD, NEW])
def test_a_bin_is_its_images(pid: str, tmp_path: Path) -> None:
    pictures = [None, *draw_pictures(2, seed=0), None]
    roi = write_bin(tmp_path / "in", pid, pictures)
    found = items(roi, folder=tmp_path / "out")
    assert [item.object_id for item in found] == [f"{pid}_00002", f"{pid}_00003"]
    assert [item.image for item in found] == [f"../in/{pid}.roi#{number}" for number in (2, 3)]
    (tmp_path / "out").mkdir()
    for item, picture in zip(found, pictures[1:3], strict=True):
        assert picture is not None
        assert item.size == picture.size
        assert item.problem is None
        assert np.array_equal(np.asarray(open_image(item.image, tmp_path / "out")), picture)


def test_bins_in_folders_lie_beside_other_images(tmp_path: Path) -> None:
    from PIL import Image

    write_bin(tmp_path / "in" / "b%", NEW, draw_pictures(1, seed=1))
    write_bin(tmp_path / "in" / "beads" / "deep", OLD, draw_pictures(1, seed=2))
    Image.new("L", (9, 9)).save(tmp_path / "in" / "beads" / "a.png")
    (tmp_path / "in" / "other.roi").touch()
    inputs = Inputs([tmp_path / "in"], tmp_path, instrument="CAM2")
    found = {item.object_id: item.image for item in inputs}
    assert found == {f"b%/{NEW}_00001": f"in/b%25/{NEW}.roi#1", "beads/a.png": "in/beads/a.png"}
    assert inputs.ignored == {".roi": 2, ".adc": 1, ".hdr": 1}


def test_several_inputs_have_ids_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_bin(tmp_path / name, NEW, draw_pictures(1, seed=3))
    both = [tmp_path / name / f"{NEW}.roi" for name in ("one", "two")]
    ids = [item.object_id for item in items(*both, folder=tmp_path)]
    assert ids == [f"one/{NEW}_00001", f"two/{NEW}_00001"]


def test_lost_images_have_rows_and_lost_bins_have_one(tmp_path: Path) -> None:
    truncated = write_bin(tmp_path / "in", NEW, draw_pictures(3, seed=4))
    whole = read_bin(truncated).rois.start[2]
    truncated.write_bytes(truncated.read_bytes()[:whole])
    without_roi = write_bin(tmp_path / "in", OLD, draw_pictures(2, seed=5))
    without_roi.unlink()
    empty = write_bin(tmp_path / "in", "D20170101T000000_IFCB102", [None])
    assert empty.stat().st_size == 0
    found = items(tmp_path / "in", folder=tmp_path)
    problems = {item.object_id: item.problem and item.problem.code for item in found}
    assert problems == {
        f"{NEW}_00001": None,
        f"{NEW}_00002": None,
        f"{NEW}_00003": "truncated",
        OLD: "missing",
    }


def test_a_bin_that_changed_is_new(tmp_path: Path) -> None:
    pictures = draw_pictures(2, seed=6)
    roi = write_bin(tmp_path, NEW, pictures)
    (before, _) = items(roi, folder=tmp_path)
    (again, _) = items(roi, folder=tmp_path)
    assert again.key() == before.key()
    roi.with_suffix(".adc").write_text(roi.with_suffix(".adc").read_text() + "\n")
    (after, _) = items(roi, folder=tmp_path)
    assert after.key() != before.key()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{NEW}.adc", rf"a part of an IFCB bin; name its {NEW}\.roi"),
        ("mine.roi", "its name is no IFCB bin's"),
    ],
)
def test_what_is_no_bin(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=words):
        items(tmp_path / name, folder=tmp_path)


def test_real_bins(shared_data: Path, tmp_path: Path) -> None:
    found = items(shared_data / "formats" / "ifcb", folder=tmp_path)
    images = [item for item in found if "#" in item.image]
    assert len(images) == 19 + 7 + 2 + 6
    lost = {item.object_id: item.problem and item.problem.code for item in found if item.problem}
    assert lost == {
        "invalid/D20130101T101010_IFCB099": "empty_file",
        "partial/D20230810T113059_IFCB134": "missing",
        "partial/IFCB5_2012_028_081515": "missing",
    }


def test_a_bin_and_its_manifest_are_classified_alike(tiny_bundle: Path, tmp_path: Path) -> None:
    roi = write_bin(tmp_path / "in", NEW, [None, *draw_pictures(5, seed=7)])
    build_manifest("ifcb", [tmp_path / "in"], "CAM2", tmp_path / "m.csv")
    classify(tiny_bundle, [roi], tmp_path / "bin.csv", sort_into=tmp_path / "sorted")
    classify(tiny_bundle, [tmp_path / "m.csv"], tmp_path / "manifest.csv")
    of_bin, of_manifest = (
        pd.read_csv(tmp_path / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("bin", "manifest")
    )
    assert set(of_bin["error"]) == {""}
    pd.testing.assert_frame_equal(of_bin, of_manifest[of_bin.columns])
    assert of_manifest["group"].tolist() == [NEW] * 5
    copies = sorted(path.name for path in (tmp_path / "sorted").rglob("*.png"))
    assert copies == [f"{NEW}_{number:05d}.png" for number in range(2, 7)]
