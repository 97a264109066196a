"""Two cameras whose organisms differ by their size alone."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plankton_da.adaptation.scale import in_scale
from plankton_da.adaptation.tables import concatenate
from plankton_da.config import InstrumentPreprocessConfig, PreprocessConfig
from plankton_da.errors import DataError
from plankton_da.evaluation.evaluate import evaluate
from plankton_da.images.cache import open_pixels
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.manifests.table import Manifest, read_manifest
from plankton_da.networks.bundle import read_bundle
from plankton_da.prediction.predictor import Predictor

FIT = Preprocess(image_size=64, instruments={"A": InstrumentLook(), "B": InstrumentLook()})
PHYSICAL = PreprocessConfig(scale="physical")


def draw(folder: Path, camera: str, pixel_um: float, size: str | None = None) -> Manifest:
    """Discs of 200 and of 600 µm as a camera with such pixels sees them, cut out closely."""
    rows = []
    for label, um in (("small", 200), ("large", 600)):
        radius = um / pixel_um / 2
        y, x = np.mgrid[: 2 * radius + 6, : 2 * radius + 6]
        disc = (y - radius - 3) ** 2 + (x - radius - 3) ** 2 < radius**2
        name = f"{camera}_{label}.png"
        Image.fromarray(np.where(disc, 40, 220).astype(np.uint8)).save(folder / name)
        rows.append((name, name, camera, label, f"{pixel_um:g}" if size is None else size))
    columns = ["object_id", "image", "instrument", "label", "pixel_size_um"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"{camera}.csv", index=False)
    return read_manifest(folder / f"{camera}.csv")


def dark_shares(preprocess: Preprocess, table: pd.DataFrame, folder: Path) -> dict[str, float]:
    source = open_pixels(list(table["image"]), folder, list(table["instrument"]), preprocess)
    shares = (source.read_many(range(len(table))) < 130).mean(axis=(1, 2, 3))
    return dict(zip(table["object_id"], shares.tolist(), strict=True))


def test_a_species_is_as_large_in_both_cameras_and_two_species_are_not(tmp_path: Path) -> None:
    table = concatenate([draw(tmp_path, "A", 10.0), draw(tmp_path, "B", 25.0)], None)
    physical = dark_shares(in_scale(FIT, PHYSICAL, [table]), table, tmp_path)
    assert physical["A_small.png"] == pytest.approx(physical["B_small.png"], rel=0.1)
    assert physical["A_large.png"] == pytest.approx(physical["B_large.png"], rel=0.1)
    assert physical["A_large.png"] == pytest.approx(9 * physical["A_small.png"], rel=0.1)
    fit = dark_shares(in_scale(FIT, PreprocessConfig(), [table]), table, tmp_path)
    assert fit["A_large.png"] < 1.6 * fit["A_small.png"]


def test_a_size_may_stand_in_the_config(tmp_path: Path) -> None:
    table = concatenate([draw(tmp_path, "A", 10.0), draw(tmp_path, "B", 25.0, "")], None)
    with pytest.raises(DataError, match="B: 2 of 2 rows have no pixel_size_um"):
        in_scale(FIT, PHYSICAL, [table, None])
    settings = PreprocessConfig(
        scale="physical", instruments={"B": InstrumentPreprocessConfig(pixel_size_um=25)}
    )
    assert in_scale(FIT, settings, [table]).look("B").pixel_size_um == 25


def test_a_bundles_scale_stays_for_a_new_camera(tmp_path: Path) -> None:
    first = in_scale(FIT, PHYSICAL, [concatenate([draw(tmp_path, c, 10.0) for c in "AB"], None)])
    new = concatenate([draw(tmp_path, "C", 40.0)], None)
    looks = {"A": first.look("A"), "C": InstrumentLook()}
    second = in_scale(first.model_copy(update={"instruments": looks}), PHYSICAL, [new])
    assert second.um_per_pixel == first.um_per_pixel
    assert second.look("C").pixel_size_um == 40
    assert second.look("A").pixel_size_um == 10


def test_doubtful_units_are_warned_of_in_any_scale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = concatenate([draw(tmp_path, "A", 10.0), draw(tmp_path, "B", 25.0, "0.025")], None)
    with caplog.at_level(logging.WARNING, "plankton_da"):
        assert in_scale(FIT, PreprocessConfig(), [table]) is FIT
    assert "B: pixel_size_um is 0.025" in caplog.text


def test_evaluation_refuses_another_magnification(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    looks = {
        name: look.model_copy(update={"pixel_size_um": 10.0})
        for name, look in bundle.info.preprocess.instruments.items()
    }
    changed = {"scale": "physical", "um_per_pixel": 20.0, "instruments": looks}
    preprocess = bundle.info.preprocess.model_copy(update=changed)
    predictor = Predictor(bundle, engine="torch")
    predictor.info = bundle.info.model_copy(update={"preprocess": preprocess})
    table = draw(tmp_path, "CAM1", 10.0).table.assign(label="copepod")
    assert evaluate(predictor, [Manifest.of(table, tmp_path)], bootstrap=0)["overall"]["n"] == 2
    other = table.assign(pixel_size_um="5")
    with pytest.raises(DataError, match="pixels of CAM1 are 5 µm wide"):
        evaluate(predictor, [Manifest.of(other, tmp_path)], bootstrap=0)
