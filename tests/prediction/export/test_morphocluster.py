"""Archives for MorphoCluster."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.errors import DataError, OutputError, UsageError
from plankton_da.manifests.ingest import IngestOptions, build_manifest
from plankton_da.prediction.export import ExportOptions, Predictions, morphocluster
from plankton_da.prediction.predictions import prediction_rows

BIN = "D20160714T023910_IFCB101"


def predicted(root: Path, images: dict[str, str]) -> Predictions:
    """``object_id -> ref``."""
    count = len(images)
    scores = np.random.default_rng(1).dirichlet([1, 1], count).astype(np.float32)
    table = prediction_rows(
        *(list(images), list(images.values()), ["I"] * count, scores, [""] * count, ["a", "b"], {}),
    )
    return Predictions(table, root, root / "P.csv")


def morphocluster_reads(path: Path) -> dict[str, Image.Image]:
    """As its feature extraction does: ids as text, images as RGB."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        index = pd.read_csv(archive.open("index.csv"), dtype=str, usecols=["object_id", "path"])
        return {
            row.object_id: Image.open(io.BytesIO(archive.read(row.path))).convert("RGB")
            for row in index.itertuples()
        }


@pytest.fixture
def images(tmp_path: Path) -> dict[str, str]:
    pictures = draw_pictures(2, seed=0)
    write_bin(tmp_path, BIN, [pictures[0], None, pictures[1]])
    rng = np.random.default_rng(0)
    for name in ("a/1.png", "b/1.jpg", "sixteen_bit.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 255, (9, 7)).astype(np.uint16 if "bit" in name else np.uint8)
        Image.fromarray(pixels * (257 if "bit" in name else 1)).save(tmp_path / name)
    return {
        "a/1.png": "a/1.png",
        "a__1.png": "b/1.jpg",
        "deep": "sixteen_bit.tif",
        f"{BIN}_00001": f"{BIN}.roi#1",
        f"{BIN}_00003": f"{BIN}.roi#3",
    }


def test_every_image_is_there_under_its_id(tmp_path: Path, images: dict[str, str]) -> None:
    out = tmp_path / "out.zip"
    predictions = predicted(tmp_path, images)
    result = morphocluster.write(predictions, out, ExportOptions())
    assert (result.rows, result.skipped, result.notes) == (5, [], [])
    read = morphocluster_reads(out)
    assert list(read) == list(images)
    for number, picture in zip((1, 3), draw_pictures(2, seed=0), strict=True):
        assert (np.asarray(read[f"{BIN}_{number:05d}"])[..., 0] == picture).all()
    deep = np.asarray(Image.open(tmp_path / "sixteen_bit.tif")) // 257
    assert (np.asarray(read["deep"])[..., 0] == deep).all()
    with zipfile.ZipFile(out) as archive:
        assert (tmp_path / "b" / "1.jpg").read_bytes() in map(archive.read, archive.namelist())
        index = pd.read_csv(archive.open("index.csv"), dtype=str)
    assert index["label"].tolist() == predictions.table["label"].tolist()
    assert index["score"].astype(np.float32).tolist() == predictions.table["score"].tolist()
    assert not index["path"].str.contains("..", regex=False).any()


def test_the_index_is_a_table_that_can_be_ingested(tmp_path: Path, images: dict[str, str]) -> None:
    predictions = predicted(tmp_path, images)
    morphocluster.write(predictions, tmp_path / "out.zip", ExportOptions())
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "out")
    options = IngestOptions(columns={"image": "path"})
    index = tmp_path / "out" / "index.csv"
    table = build_manifest("csv", [index], "I", tmp_path / "m.csv", options=options).table
    assert table["object_id"].tolist() == list(images)
    assert table["label"].tolist() == predictions.table["label"].tolist()
    assert table["score"].astype(np.float32).tolist() == predictions.table["score"].tolist()


def test_the_same_predictions_make_the_same_bytes(tmp_path: Path, images: dict[str, str]) -> None:
    for name in ("1.zip", "2.zip"):
        morphocluster.write(predicted(tmp_path, images), tmp_path / name, ExportOptions())
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_images_that_are_gone_are_named(tmp_path: Path, images: dict[str, str]) -> None:
    (tmp_path / "a" / "1.png").unlink()
    out = tmp_path / "out.zip"
    result = morphocluster.write(predicted(tmp_path, images), out, ExportOptions())
    assert result.rows == 4
    assert result.skipped[0][0] == "a/1.png"
    assert result.skipped[0][1].startswith("missing")
    assert "a/1.png" not in morphocluster_reads(out)


def test_what_is_refused(tmp_path: Path, images: dict[str, str]) -> None:
    gone = predicted(tmp_path, {"x": "x.png"})
    with pytest.raises(DataError, match="no image can be exported; the first: x: missing"):
        morphocluster.write(gone, tmp_path / "out.zip", ExportOptions())
    with pytest.raises(UsageError, match=r"ends in \.zip"):
        morphocluster.write(gone, tmp_path / "out.csv", ExportOptions())
    (tmp_path / "out.zip").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        morphocluster.write(predicted(tmp_path, images), tmp_path / "out.zip", ExportOptions())
    assert (tmp_path / "out.zip").read_text() == "mine"
    assert not list(tmp_path.glob(".*.tmp"))


def test_numbers_as_ids_are_warned_of(tmp_path: Path, images: dict[str, str]) -> None:
    numbered = {f"00{row}": ref for row, ref in enumerate(images.values())}
    result = morphocluster.write(predicted(tmp_path, numbered), tmp_path / "o.zip", ExportOptions())
    assert "leading zeros" in result.notes[0]
