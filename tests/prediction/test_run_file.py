"""``run.json`` says how a result came to be, and is never another result's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plankton_da.errors import OutputError
from plankton_da.prediction.folder import ClassifySummary, classify
from plankton_da.prediction.merge import merge
from plankton_da.prediction.predictor import Predictor

Draw = Callable[[Path, int], Path]


@pytest.fixture
def images(tmp_path: Path, draw: Draw) -> Path:
    """Three pictures."""
    for n in range(3):
        draw(tmp_path / "in" / f"{n}.png", n)
    return tmp_path / "in"


def run(bundle: Path, images: Path, out: Path, **options: Any) -> ClassifySummary:
    return classify(bundle, [images], out, progress=False, **options)


def no_model() -> Predictor:
    raise AssertionError("the model was loaded")


def test_the_run_file_says_how_it_came_to_be(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    run(tiny_bundle, images, tmp_path / "P.csv", bundle_uri="models:/plankton/3")
    content = json.loads((tmp_path / "P.run.json").read_text())
    assert content["bundle"] == "models:/plankton/3"
    assert content["sha256"] == hashlib.sha256((tmp_path / "P.csv").read_bytes()).hexdigest()
    assert content["inputs"] == ["in"]
    assert content["images"] == 3
    (made,) = content["runs"]
    assert made["engine"] == "onnx"
    assert {"numpy", "pillow", "onnxruntime", "plankton-da"} <= set(made["versions"])


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_results_of_one_stem_are_refused_before_any_work(
    overwrite: bool, tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    run(tiny_bundle, images, tmp_path / "P.csv")
    before = (tmp_path / "P.run.json").read_bytes()
    out = tmp_path / "P.parquet"
    words = r"P\.run\.json says how P\.csv came to be.*give an --out of another name than P, or of "
    with pytest.raises(OutputError, match=words):
        run(tiny_bundle, images, out, overwrite=overwrite, open_predictor=no_model)
    assert (tmp_path / "P.run.json").read_bytes() == before
    assert not out.exists()
    assert run(tiny_bundle, images, tmp_path / "other" / out.name).classified == 3


def test_a_result_that_appears_while_another_is_made(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    def meanwhile() -> Predictor:
        run(tiny_bundle, images, tmp_path / "P.parquet")
        return Predictor.open(tiny_bundle)

    with pytest.raises(OutputError, match=r"says how P\.parquet came to be"):
        run(tiny_bundle, images, tmp_path / "P.csv", open_predictor=meanwhile)
    assert json.loads((tmp_path / "P.run.json").read_text())["result"] == "P.parquet"
    assert not (tmp_path / "P.csv").exists()


def test_a_run_file_whose_result_is_gone(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    run(tiny_bundle, images, tmp_path / "P.csv")
    (tmp_path / "P.csv").unlink()
    with pytest.raises(OutputError, match=r"P\.csv came to be, which is no longer.*--overwrite"):
        run(tiny_bundle, images, tmp_path / "P.parquet")
    run(tiny_bundle, images, tmp_path / "P.parquet", overwrite=True)
    assert json.loads((tmp_path / "P.run.json").read_text())["result"] == "P.parquet"


def test_a_result_that_was_renamed_with_its_run_file(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    run(tiny_bundle, images, tmp_path / "P.csv")
    (tmp_path / "P.csv").rename(tmp_path / "Q.csv")
    (tmp_path / "P.run.json").rename(tmp_path / "Q.run.json")
    run(tiny_bundle, images, tmp_path / "P.csv")
    run(tiny_bundle, images, tmp_path / "Q.csv", overwrite=True)
    assert json.loads((tmp_path / "Q.run.json").read_text())["result"] == "Q.csv"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"result": ["P.csv"]}', '{"result": ""}'])
def test_a_run_file_that_tells_of_nothing_is_replaced(
    text: str, tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "P.run.json").write_text(text)
    run(tiny_bundle, images, tmp_path / "P.csv")
    assert json.loads((tmp_path / "P.run.json").read_text())["result"] == "P.csv"


def test_shards_joined_beside_a_result_of_the_same_stem(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    shards = [tmp_path / "shards" / f"{n}.csv" for n in (1, 2)]
    for n, path in enumerate(shards, 1):
        run(tiny_bundle, images, path, shard=f"{n}/2", batch_size=1)
    run(tiny_bundle, images, tmp_path / "P.csv")
    with pytest.raises(OutputError, match=r"P\.run\.json says how P\.csv came to be"):
        merge(shards, tmp_path / "P.parquet", overwrite=True)
    assert not (tmp_path / "P.parquet").exists()
