"""A predictions file: what it must hold, and what it says of its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plankton_da.errors import ManifestError
from plankton_da.prediction.export import read_predictions
from plankton_da.prediction.export.reading import published_name

Predicted = Callable[..., Path]

ROW = {"object_id": "a.png"}


def test_scores_are_float32_and_all_else_text(predicted: Predicted) -> None:
    rows = [
        {**ROW, "label": "NA", "score": "0.1"},
        {"object_id": "007", "image": "b.png", "error": "missing: no file b.png"},
    ]
    path = predicted(rows, score_2=["0.3", ""], p_NA=["1e-05", ""], score_note=["0.5 m", "x"])
    table = read_predictions(path).table
    for name in ("score", "raw_score", "score_2", "p_NA"):
        assert table[name].dtype == np.float32
        assert np.isnan(table[name].iloc[1])
    assert table["score"].iloc[0] == np.float32(0.1)
    assert table["score_note"].tolist() == ["0.5 m", "x"]
    assert table["object_id"].tolist() == ["a.png", "007"]
    assert table["label"].tolist() == ["NA", ""]


def test_good_rows_and_failures(predicted: Predicted) -> None:
    path = predicted([ROW, {"object_id": "b", "error": "truncated: cut"}])
    predictions = read_predictions(path)
    assert predictions.good()["object_id"].tolist() == ["a.png"]
    assert predictions.failures() == [("b", "truncated: cut")]
    assert predictions.root == path.parent


def test_csv_and_parquet_are_the_same(predicted: Predicted, tmp_path: Path) -> None:
    table = read_predictions(predicted([{**ROW, "score": "0.1"}])).table
    table.to_parquet(tmp_path / "Q.parquet")
    again = read_predictions(tmp_path / "Q.parquet").table
    pd.testing.assert_frame_equal(table, again, check_dtype=False)
    assert again["score"].dtype == np.float32


def test_the_model_is_known_by_the_run_file(predicted: Predicted) -> None:
    predictions = read_predictions(predicted([ROW]))
    assert predictions.model == "models:/zoo@champion"
    assert predictions.model_hash == "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("given", "folder", "name"),
    [
        ("models:/zoo/3", "/home/me/.cache/zoo-3/bundle", "models:/zoo/3"),
        ("models:/zoo@champion", "/home/me/.cache/zoo-3", "models:/zoo@champion"),
        ("runs:/0a1b/bundle", "/home/me/.cache/0a1b/bundle", "runs:/0a1b/bundle"),
        ("/home/me/runs/source_only-0/bundle", "/mnt/x", "source_only-0"),
        ("runs/source_only-0/bundle/", "/home/me/runs/source_only-0/bundle", "source_only-0"),
        ("C:\\me\\zoo", "", "zoo"),
        ("bundle", "/home/me/run7/bundle", "run7"),
        (".", "/home/me/run7/bundle", "run7"),
        ("../..", "/home/me/run7", "run7"),
        ("/bundle", "/bundle", "bundle"),
        ("", "", ""),
    ],
)
def test_the_published_name_of_a_model_says_no_place(given: str, folder: str, name: str) -> None:
    assert published_name(given, folder) == name


@pytest.mark.parametrize("run", [None, {}, {"bundle": "b", "options": None}, {"runs": "?"}])
def test_without_it_the_model_is_unknown(predicted: Predicted, run: object) -> None:
    predictions = read_predictions(predicted([ROW], run=run))
    assert predictions.model_hash == predictions.finished == ""


def test_a_damaged_run_file(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted([ROW])
    (tmp_path / "P.run.json").write_text('{"bundle": ')
    with pytest.raises(ManifestError, match=r"P\.run\.json: says how P\.csv came to be"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": "1.5"}, "line 2, column score: a score is a number from 0 to 1; found '1.5'"),
        ({"raw_score": "nan"}, "line 2, column raw_score: a score is a number"),
        ({"label": "", "raw_label": "x"}, "exactly one of label and error must be filled"),
        ({"error": "missing: x", "label": "x"}, "exactly one of label and error"),
        ({"image": ""}, "line 2, column image: the value is empty"),
    ],
)
def test_bad_values_are_told_with_their_line(
    predicted: Predicted, change: dict[str, str], words: str
) -> None:
    path = predicted([ROW])
    table = pd.read_csv(path, dtype=str, keep_default_na=False).assign(**change)
    table.to_csv(path, index=False)
    with pytest.raises(ManifestError) as caught:
        read_predictions(path)
    assert words in str(caught.value)


def test_all_that_is_missing_is_told(predicted: Predicted, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("object_id,image,instrument,label\na,a.png,CAM1,x\n")
    with pytest.raises(ManifestError) as caught:
        read_predictions(tmp_path / "m.csv")
    lines = str(caught.value).splitlines()
    assert [line.split("column ")[1].split(":")[0] for line in lines] == [
        "score",
        "raw_label",
        "raw_score",
        "error",
    ]
    assert "give a file that classify wrote" in lines[0]
