"""Class scores as the IFCB dashboard's own reader takes them."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_da.errors import DataError, OutputError, UsageError
from plankton_da.prediction.export import ExportOptions, Predictions, ifcb_h5
from plankton_da.prediction.export.ifcb_bins import bins_of, day_of
from plankton_da.prediction.export.ifcb_rois import roi_of
from plankton_da.prediction.predictions import prediction_rows

CLASSES = ("copepod", "Diatom chain", "detritus")
RUN = {
    "bundle": "models:/plankton/3",
    "options": {"model": "0123456789abcdef" * 4},
    "runs": [{"started": "2026-11-24T10:00:00+00:00"}],
}
NEW, OLD = "D20160714T023910_IFCB101", "IFCB5_2012_028_081515"


def predicted(
    images: list[str],
    object_ids: list[str] | None = None,
    classes: tuple[str, ...] = CLASSES,
    folder: Path = Path("x"),
    all_scores: bool = True,
    failed: tuple[int, ...] = (),
) -> Predictions:
    count = len(images)
    scores = np.random.default_rng(0).dirichlet([1] * len(classes), count).astype(np.float32)
    scores[list(failed)] = np.nan
    errors = ["truncated: cut" if row in failed else "" for row in range(count)]
    ids = object_ids or [f"o{row}" for row in range(count)]
    table = prediction_rows(
        *(ids, images, ["IFCB"] * count, scores, errors, classes, {"copepod": 0.99}),
        all_scores=all_scores,
    )
    return Predictions(table, folder, folder / "P.csv", RUN)


def dashboard_reads(path: Path) -> pd.DataFrame:
    """What pyifcb makes of a file of version 3 (``class_scores.py``, ``_class_scores_v3``)."""
    with h5py.File(path, "r") as file:
        labels = [label.decode("ascii") for label in file["class_labels"][:]]
        return pd.DataFrame(file["output_scores"][:], file["roi_numbers"][:], labels)


def test_a_file_per_bin_in_the_tree_of_days(tmp_path: Path) -> None:
    rois = [(NEW, 9), (NEW, 2), (OLD, 4000), ("D20161231T235959_IFCB1", 1)]
    predictions = predicted([f"data/{pid}.roi#{roi}" for pid, roi in rois])
    result = ifcb_h5.write(predictions, tmp_path / "out", ExportOptions())
    assert [file.relative_to(tmp_path).as_posix() for file in result.files] == [
        f"out/D2016/D2016_196/{NEW}_class.h5",
        "out/D2016/D2016_366/D20161231T235959_IFCB1_class.h5",
        f"out/D2012/D2012_028/{OLD}_class.h5",
    ]
    assert (result.rows, result.skipped, result.notes) == (4, [], [])
    read = dashboard_reads(result.files[0])
    wanted = predictions.table.iloc[[1, 0]][[f"p_{name}" for name in CLASSES]]
    assert read.index.tolist() == [2, 9]
    assert read.columns.tolist() == list(CLASSES)
    assert read.to_numpy().tobytes() == wanted.to_numpy(np.float32).tobytes()
    assert dashboard_reads(result.files[2]).index.tolist() == [4000]


def test_the_model_the_version_and_the_labels_are_in_the_file(tmp_path: Path) -> None:
    predictions = predicted([f"{NEW}.roi#{roi}" for roi in (1, 2, 3, 4)])
    (path,) = ifcb_h5.write(predictions, tmp_path, ExportOptions()).files
    with h5py.File(path, "r") as file:
        about = dict(file["metadata"].attrs)
        assert about == {
            "version": "v3",
            "model_id": "models:/plankton/3 0123456789ab",
            "timestamp": "2026-11-24T10:00:00+00:00",
            "bin_id": NEW,
        }
        labels = [name.decode("ascii") for name in file["class_name"][:]]
        best = [name.decode("ascii") for name in file["class_name_auto"][:]]
    assert labels == predictions.table["label"].tolist()
    assert best == predictions.table["raw_label"].tolist()
    assert "unclassified" in labels


def test_rows_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    images = [f"{NEW}.roi#1", f"{NEW}.roi#2", "photo.png"]
    result = ifcb_h5.write(predicted(images, failed=(1,)), tmp_path, ExportOptions())
    assert result.rows == 1
    assert result.skipped[0] == ("o1", "truncated: cut")
    assert result.skipped[1][0] == "o2"
    assert "no ROI of an IFCB bin" in result.skipped[1][1]


def test_the_same_again_is_kept_and_another_is_refused_whole(tmp_path: Path) -> None:
    images = [f"{NEW}.roi#1", f"{OLD}.roi#1"]
    first, _ = ifcb_h5.write(predicted(images[:1]), tmp_path, ExportOptions()).files * 2
    before = first.stat().st_mtime_ns, first.read_bytes()
    files = ifcb_h5.write(predicted(images[:1]), tmp_path, ExportOptions()).files
    assert (files[0].stat().st_mtime_ns, files[0].read_bytes()) == before
    other = predicted(images, classes=("a", "b"))
    with pytest.raises(OutputError, match="with other content"):
        ifcb_h5.write(other, tmp_path, ExportOptions())
    assert first.read_bytes() == before[1]
    assert not (tmp_path / "D2012").exists()
    ifcb_h5.write(other, tmp_path, ExportOptions(overwrite=True))
    assert dashboard_reads(first).columns.tolist() == ["a", "b"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_scores_of_all_classes_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="classify again with --all-scores"):
        ifcb_h5.write(predicted([f"{NEW}.roi#1"], all_scores=False), tmp_path, ExportOptions())


@pytest.mark.parametrize("classes", [("Ceratium fürca", "b"), ("a", "копепода")])
def test_names_that_the_dashboard_cannot_read(tmp_path: Path, classes: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="in ASCII alone"):
        ifcb_h5.write(predicted([f"{NEW}.roi#1"], classes=classes), tmp_path, ExportOptions())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (["a.png"], "no classified row is a ROI"),
        ([f"{NEW}.roi#7", f"other/{NEW}.roi#7"], f"ROI 7 of {NEW} has 2 rows: o0, o1"),
        (["D20161350T023910_IFCB101.roi#1"], "no date and time that exist"),
        (["IFCB5_2012_400_081515.roi#1"], "no date and time that exist"),
    ],
)
def test_rows_that_make_no_bins(tmp_path: Path, images: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        ifcb_h5.write(predicted(images), tmp_path / "out", ExportOptions())
    assert not (tmp_path / "out").exists()


def test_a_picture_beside_the_bin_does_not_count_twice(tmp_path: Path) -> None:
    images = [f"{NEW}.roi#2", f"{NEW}.roi#8", f"{NEW}_00002.png", f"{NEW}_00009.png"]
    bins, strays = bins_of(predicted(images))
    assert [list(each.rois) for each in bins] == [[2, 8, 9]]
    assert list(bins[0].rows["object_id"]) == ["o0", "o1", "o3"]
    assert strays == [("o2", f"a picture of {NEW}.roi#2, which is classified from the bin itself")]


def test_out_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="is a file"):
        ifcb_h5.write(predicted([f"{NEW}.roi#1"]), tmp_path / "out", ExportOptions())


def test_without_h5py_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match="pip install h5py"):
        ifcb_h5.write(predicted([f"{NEW}.roi#1"]), tmp_path, ExportOptions())


def test_a_model_that_is_not_known_is_said(tmp_path: Path) -> None:
    predictions = predicted([f"{NEW}.roi#1"], folder=tmp_path)
    predictions.path.touch()
    nameless = Predictions(predictions.table, predictions.root, predictions.path)
    result = ifcb_h5.write(nameless, tmp_path / "out", ExportOptions())
    with h5py.File(result.files[0], "r") as file:
        assert file["metadata"].attrs["model_id"] == "unknown"
        assert file["metadata"].attrs["timestamp"].startswith("20")
    assert "P.run.json is not beside the predictions" in result.notes[0]


@pytest.mark.parametrize(
    ("image", "object_id", "found"),
    [
        (f"a/{NEW}.roi#14", "x", (NEW, 14)),
        (f"a\\{OLD}.ROI#1", "x", (OLD, 1)),
        (f"a/{NEW}_00014.png", "x", (NEW, 14)),
        (f"bins.zip!{NEW}/{NEW}_00014.png", "x", (NEW, 14)),
        ("a.png", f"copepod/{OLD}_00003.png", (OLD, 3)),
        (f"{NEW}.roi#2", f"{OLD}_00003", (NEW, 2)),  # the pixels are those of the ref
        (f"{NEW}.roi", "x", None),
        (f"x{NEW}_00014.png", "x", None),
        (f"{NEW}_00014_crop.png", "x", None),
    ],
)
def test_which_roi_a_row_is(image: str, object_id: str, found: tuple[str, int] | None) -> None:
    assert roi_of(image, object_id) == found


def test_days_of_both_generations() -> None:
    assert day_of(NEW).isoformat() == "2016-07-14T02:39:10"
    assert day_of(OLD).isoformat() == "2012-01-28T08:15:15"


def test_the_real_layout(shared_data: Path, tmp_path: Path) -> None:
    """Ours has the datasets of a file that the dashboard shows, of the same kinds."""
    theirs = shared_data / "formats" / "ifcb" / "v2_class" / "D20220522T000439_IFCB134_class.h5"
    (ours,) = ifcb_h5.write(predicted([f"{NEW}.roi#1"]), tmp_path, ExportOptions()).files
    with h5py.File(theirs, "r") as wanted, h5py.File(ours, "r") as found:
        for name in ("output_scores", "class_labels", "roi_numbers", "class_name"):
            assert found[name].dtype.kind == wanted[name].dtype.kind
            assert found[name].ndim == wanted[name].ndim


_NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    classes=st.lists(_NAMES, min_size=1, max_size=4, unique=True),
    rois=st.lists(
        st.tuples(st.sampled_from([NEW, OLD]), st.integers(1, 99_999)),
        min_size=1,
        max_size=8,
        unique=True,
    ),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], rois: list[tuple[str, int]]
) -> None:
    predictions = predicted([f"{pid}.roi#{roi}" for pid, roi in rois], classes=tuple(classes))
    out = tmp_path_factory.mktemp("out")
    result = ifcb_h5.write(predictions, out, ExportOptions())
    bins, _ = bins_of(predictions)
    assert result.rows == len(rois)
    for path, each in zip(result.files, bins, strict=True):
        read = dashboard_reads(path)
        assert read.columns.tolist() == classes
        assert [(each.pid, roi) for roi in read.index] == sorted(
            r for r in rois if r[0] == each.pid
        )
        wanted = each.rows[[f"p_{name}" for name in classes]].to_numpy(np.float32)
        assert read.to_numpy().tobytes() == wanted.tobytes()
