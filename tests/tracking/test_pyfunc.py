"""The model that MLflow loads and serves says what ``classify`` says."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from plankton_da.errors import DataError
from plankton_da.prediction.folder import classify
from plankton_da.prediction.predictions import COLUMNS

Predict: TypeAlias = Callable[..., pd.DataFrame]

CLASSIFY = "from plankton_da.cli import main; main()"
PREDICT = """
import sys, pandas, mlflow
frame = pandas.read_csv(sys.argv[1], dtype=str)
model = mlflow.pyfunc.load_model("models:/plankton@candidate")
model.predict(frame).to_parquet(sys.argv[2])
import plankton_da
print(plankton_da.__file__)
"""


@pytest.fixture(scope="module")
def pictures(
    tmp_path_factory: pytest.TempPathFactory, draw: Callable[[Path, int], Path]
) -> list[Path]:
    """Forty pictures, in the order of their names, of which number 7 is truncated."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [draw(folder / f"{seed:02d}.png", seed) for seed in range(40)]
    paths[7].write_bytes(paths[7].read_bytes()[:-40])
    return paths


@pytest.fixture(scope="module")
def predict(registered: Path) -> Iterator[Predict]:
    """``predict`` of the registered model, as MLflow loads it."""
    before = list(sys.path)
    (folder,) = (registered / "mlartifacts" / "models").glob("m-*/artifacts")
    with warnings.catch_warnings(action="ignore"):  # MLflow's about its own type hints
        model = mlflow.pyfunc.load_model(str(folder))

    def answer(frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        found = model.predict(frame, params=params)
        assert isinstance(found, pd.DataFrame)
        return found

    yield answer
    sys.path[:] = before  # the logged code stood first in it


@pytest.fixture(scope="module")
def classified(
    tmp_path_factory: pytest.TempPathFactory, bundle_folder: Path, pictures: list[Path]
) -> pd.DataFrame:
    """What ``classify`` says about the pictures."""
    out = tmp_path_factory.mktemp("classified") / "p.parquet"
    classify(bundle_folder, [pictures[0].parent], out, progress=False)
    return pd.read_parquet(out)


def same_predictions(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    for column in ("instrument", "label", "raw_label", "error"):
        assert found[column].tolist() == expected[column].tolist()
    for column in ("score", "raw_score"):
        np.testing.assert_array_equal(
            found[column].to_numpy(np.float32), expected[column].to_numpy(np.float32)
        )


def test_paths_are_answered_as_classify_answers(
    predict: Predict, pictures: list[Path], classified: pd.DataFrame
) -> None:
    found = predict(pd.DataFrame({"image": [str(path) for path in pictures]}))
    assert tuple(found.columns) == COLUMNS
    assert found["image"].tolist() == [str(path) for path in pictures]
    assert found["object_id"].tolist() == [str(path) for path in pictures]
    assert found["error"][7].startswith("truncated: ")
    assert found["label"].nunique() > 2  # the failed row's is empty
    same_predictions(found, classified)


def test_bytes_are_answered_as_paths_are(
    predict: Predict, pictures: list[Path], classified: pd.DataFrame
) -> None:
    found = predict(pd.DataFrame({"binary": [path.read_bytes() for path in pictures]}))
    assert found["object_id"].tolist() == [str(row) for row in range(len(pictures))]
    assert set(found["image"]) == {""}
    same_predictions(found, classified)


def test_names_and_instruments_of_a_manifest_are_kept(
    predict: Predict, pictures: list[Path]
) -> None:
    frame = pd.DataFrame(
        {
            "object_id": ["a", "b", "a"],
            "image": [str(pictures[3])] * 3,
            "instrument": ["CAM1", "CAM2", None],
            "label": ["copepod", "", ""],
        },
        index=[5, 5, 9],
    )
    found = predict(frame)
    assert found["object_id"].tolist() == ["a", "b", "a"]
    assert found["instrument"].tolist() == ["CAM1", "CAM2", "CAM2"]
    assert found["score"][1] == found["score"][2] != found["score"][0]
    param = predict(frame.drop(columns="instrument"), params={"instrument": "CAM1"})
    assert param["instrument"].tolist() == ["CAM1"] * 3
    assert param["score"][2] == found["score"][0]


def test_rows_without_image_and_frames_without_rows(predict: Predict, pictures: list[Path]) -> None:
    found = predict(pd.DataFrame({"image": ["", "gone.png", None, str(pictures[0])]}))
    assert [error.partition(":")[0] for error in found["error"]] == ["missing"] * 3 + [""]
    assert found["label"].tolist()[:3] == ["", "", ""]
    empty = predict(pd.DataFrame({"image": pd.Series([], dtype="str")}))
    assert (tuple(empty.columns), len(empty)) == (COLUMNS, 0)


def test_wrong_questions(predict: Predict, pictures: list[Path]) -> None:
    frame = pd.DataFrame({"image": [str(pictures[0])]})
    with pytest.raises(DataError, match="'CAM3': this preprocessing knows CAM1, CAM2"):
        predict(frame, params={"instrument": "CAM3"})
    with pytest.raises((DataError, MlflowException), match="image"):
        predict(pd.DataFrame({"path": [str(pictures[0])]}))


def test_a_fresh_process_runs_the_logged_code_and_agrees_with_the_command_line(
    registry: Path, pictures: list[Path]
) -> None:
    frame = registry / "images.csv"
    pd.DataFrame({"image": [str(path) for path in pictures]}).to_csv(frame, index=False)
    predict = subprocess.Popen(
        [sys.executable, "-c", PREDICT, str(frame), "predicted.parquet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    command = ["classify", "models:/plankton@candidate", str(pictures[0].parent)]
    answer = subprocess.run(
        [sys.executable, "-c", CLASSIFY, *command, "--out", "classified.parquet"],
        capture_output=True,
        text=True,
        check=False,
    )
    code, words = predict.communicate(timeout=120)
    assert predict.returncode == 0, words
    assert answer.returncode == 5, answer.stderr  # the truncated picture
    assert f"{Path('code', 'plankton_da', '__init__.py')}" in code
    assert str(Path(__file__).parents[2]) not in code
    same_predictions(pd.read_parquet("predicted.parquet"), pd.read_parquet("classified.parquet"))


def ask(url: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        predictions: list[dict[str, Any]] = json.load(answer)["predictions"]
        return predictions


def test_served_model_answers_paths_and_bytes(
    registry: Path,
    start_server: Callable[[str, str], str],
    pictures: list[Path],
    classified: pd.DataFrame,
) -> None:
    command = "models serve -m models:/plankton@candidate --env-manager local"
    server = start_server(command, "/ping")
    paths = {"dataframe_split": {"columns": ["image"], "data": [[str(p)] for p in pictures]}}
    found = ask(f"{server}/invocations", paths)
    assert [row["raw_label"] for row in found] == classified["raw_label"].tolist()
    assert found[7]["score"] is None
    scores = [row["score"] for row in found if row["error"] == ""]
    expected = classified["score"].dropna().tolist()
    assert scores == pytest.approx(expected, abs=1e-6)
    record = {"binary": base64.b64encode(pictures[0].read_bytes()).decode()}
    (row,) = ask(
        f"{server}/invocations",
        {"dataframe_records": [record], "params": {"instrument": "CAM1"}},
    )
    assert (row["instrument"], row["error"]) == ("CAM1", "")
