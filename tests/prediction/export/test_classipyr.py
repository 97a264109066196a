"""Tables for ClassiPyR."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.errors import DataError, OutputError, UsageError
from plankton_da.manifests.ingest import IngestOptions, build_manifest
from plankton_da.prediction.export import ExportOptions, Predictions, classipyr
from plankton_da.prediction.predictions import prediction_rows

BIN = "D20160714T023910_IFCB101"


def predicted(rois: list[int], classes: list[str], threshold: float = 0.0) -> Predictions:
    scores = np.random.default_rng(1).dirichlet([1] * len(classes), len(rois)).astype(np.float32)
    ids = [f"{BIN}_{roi:05d}" for roi in rois]
    images = [f"{BIN}.roi#{roi}" for roi in rois]
    table = prediction_rows(
        *(ids, images, ["IFCB"] * len(rois), scores, [""] * len(rois), classes),
        dict.fromkeys(classes, threshold),
    )
    return Predictions(table, Path("x"), Path("x/P.csv"))


def test_the_table_of_a_bin(tmp_path: Path) -> None:
    predictions = predicted([12, 3], ["copepod", "diatom, chain"], threshold=0.9)
    result = classipyr.write(predictions, tmp_path / "out", ExportOptions())
    assert result.files == [tmp_path / "out" / f"{BIN}.csv"]
    with result.files[0].open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file_name", "class_name", "class_name_auto", "score"]
    assert [row[0] for row in rows] == [f"{BIN}_00003.png", f"{BIN}_00012.png"]
    by_roi = predictions.table.iloc[[1, 0]]
    assert [row[1] for row in rows] == by_roi["label"].tolist()
    assert [row[2] for row in rows] == by_roi["raw_label"].tolist()
    assert np.float32([row[3] for row in rows]).tolist() == by_roi["score"].tolist()


def test_the_columns_of_a_real_table(shared_data: Path, tmp_path: Path) -> None:
    theirs = shared_data / "formats" / "ifcb" / "v2_class" / "D20220522T000439_IFCB134.csv"
    (ours,) = classipyr.write(predicted([3], ["a"]), tmp_path, ExportOptions()).files
    assert pd.read_csv(ours).columns.tolist() == pd.read_csv(theirs).columns.tolist()


def test_a_name_that_classipyr_cuts_is_told(tmp_path: Path) -> None:
    result = classipyr.write(predicted([1], ["diatom_012"]), tmp_path, ExportOptions())
    assert "'diatom_012'" in result.notes[0]
    assert "'diatom'" in result.notes[0]


def test_what_is_refused(tmp_path: Path) -> None:
    table = predicted([1], ["a"]).table.assign(image="a.png", object_id="a")
    with pytest.raises(DataError, match="no classified row is a ROI"):
        classipyr.write(Predictions(table, tmp_path, tmp_path / "P.csv"), tmp_path, ExportOptions())
    (tmp_path / f"{BIN}.csv").write_text("corrected by hand")
    with pytest.raises(OutputError, match="other content"):
        classipyr.write(predicted([1], ["a"]), tmp_path, ExportOptions())
    assert (tmp_path / f"{BIN}.csv").read_text() == "corrected by hand"
    with pytest.raises(UsageError, match="is a file"):
        classipyr.write(predicted([1], ["a"]), tmp_path / f"{BIN}.csv", ExportOptions())


_NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    classes=st.lists(_NAMES, min_size=1, max_size=4, unique=True),
    rois=st.lists(st.integers(1, 6), min_size=1, max_size=6, unique=True),
)
def test_the_ingest_of_the_bins_finds_ids_and_labels_again(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], rois: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("bins")
    predictions = predicted(rois, classes)
    write_bin(folder / "bins", BIN, draw_pictures(6, seed=0))
    classipyr.write(predictions, folder / "labels", ExportOptions())
    options = IngestOptions(labels=folder / "labels")
    built = build_manifest("ifcb", [folder / "bins"], "I", folder / "m.csv", options=options).table
    labels = dict(zip(built["object_id"], built["label"], strict=True))
    wanted = dict(zip(predictions.table["object_id"], predictions.table["label"], strict=True))
    assert {name: label for name, label in labels.items() if label} == wanted


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    classes=st.lists(_NAMES, min_size=1, max_size=4, unique=True),
    rois=st.lists(st.integers(1, 99_999), min_size=1, max_size=8, unique=True),
)
def test_scores_keep_every_digit(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], rois: list[int]
) -> None:
    predictions = predicted(rois, classes)
    (path,) = classipyr.write(predictions, tmp_path_factory.mktemp("out"), ExportOptions()).files
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    read = {row["file_name"][:-4]: (row["class_name"], np.float32(row["score"])) for row in rows}
    wanted = predictions.table.set_index("object_id")
    assert read == {name: (row["label"], row["score"]) for name, row in wanted.iterrows()}
