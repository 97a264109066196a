"""Evaluations look at what frozen stages gave once, and see what the images would show."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from plankton_da.adaptation.image_sets import ImageSet
from plankton_da.adaptation.plain_features import PlainFeatures
from plankton_da.adaptation.scoring import predict
from plankton_da.config import ModelConfig
from plankton_da.errors import ModelError
from plankton_da.images.cache import open_pixels
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.bundle import Bundle, BundleInfo
from plankton_da.networks.classifier import PlanktonNetwork, build_network
from plankton_da.prediction.predictor import Predictor

PREPROCESS = Preprocess(image_size=32, instruments={"CAM": InstrumentLook()})
ROWS = np.array([0, 2, 5])
CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    random = np.random.default_rng(0)
    refs = [f"{number}.png" for number in range(7)]
    for ref in refs:
        Image.fromarray(random.integers(0, 256, (32, 32), dtype=np.uint8)).save(tmp_path / ref)
    table = pd.DataFrame({"image": refs, "instrument": "CAM"})
    return ImageSet(table, open_pixels(refs, tmp_path, "CAM", PREPROCESS), np.full(7, -1))


@pytest.fixture
def network() -> PlanktonNetwork:
    config = ModelConfig(backbone="test_resnet", pretrained="none", bottleneck_dim=0, freeze=2)
    network = build_network(config, 3, preprocess=PREPROCESS, domains={"CAM": "target"})
    with torch.no_grad():
        network.head.weight.mul_(50)  # images are told apart without training
    return network


def divided(network: PlanktonNetwork) -> PlanktonNetwork:
    assert network.divide(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    return network


def predictor_of(network: PlanktonNetwork) -> Predictor:
    info = BundleInfo(
        classes=("a", "b", "c"),
        backbone="test_resnet",
        bottleneck_dim=0,
        batch_norm="frozen",
        preprocess=PREPROCESS,
        preprocess_hash=PREPROCESS.hash(),
        mid_instruments=(),
        target_instruments=("CAM",),
        method="source_only",
    )
    return Predictor(Bundle(info, network), engine="torch")


def test_they_give_the_probabilities_that_the_images_give(
    images: ImageSet, network: PlanktonNetwork, tmp_path: Path
) -> None:
    predictor = predictor_of(divided(network))
    features = PlainFeatures(network, tmp_path / "cache", CPU).of(images, ROWS)
    assert features is not None
    found = predict(predictor, images, ROWS, features).probabilities
    wanted = predict(predictor, images, ROWS).probabilities
    np.testing.assert_allclose(found, wanted, atol=5e-3)
    assert np.ptp(wanted, axis=0).max() > 0.05


def test_the_frozen_stages_pass_each_row_once(
    images: ImageSet, network: PlanktonNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = PlainFeatures(divided(network), tmp_path / "cache", CPU)
    passed: list[int] = []
    compute = PlanktonNetwork.frozen_features

    def counted(self: PlanktonNetwork, pixels: Tensor) -> Tensor:
        passed.append(len(pixels))
        return compute(self, pixels)

    monkeypatch.setattr(PlanktonNetwork, "frozen_features", counted)
    first = kept.of(images, ROWS)
    assert first is not None
    assert kept.of(images, ROWS.copy()) is first
    another = dataclasses.replace(images)  # a later run's
    again = PlainFeatures(network, tmp_path / "cache", CPU).of(another, ROWS)
    assert again is not None
    # one image at a time only to know their size
    assert [size for size in passed if size > 1] == [len(ROWS)]
    np.testing.assert_array_equal(first.draw(ROWS, (0,)), again.draw(ROWS, (0,)))
    others = kept.of(images, np.array([1, 2]))
    assert others is not None
    assert others.path != first.path  # another sample of the same images


def test_a_network_without_a_division_is_shown_images(
    images: ImageSet, network: PlanktonNetwork, tmp_path: Path
) -> None:
    assert PlainFeatures(network, tmp_path / "cache", CPU).of(images, ROWS) is None
    assert not (tmp_path / "cache").exists()


def test_no_room_for_them_is_no_error(
    images: ImageSet, network: PlanktonNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1))
    assert PlainFeatures(divided(network), tmp_path / "cache", CPU).of(images, ROWS) is None


def test_features_are_for_torch(images: ImageSet, network: PlanktonNetwork, tmp_path: Path) -> None:
    predictor = predictor_of(divided(network))
    predictor._torch = None
    with pytest.raises(ModelError, match="torch"):
        predictor.of_features(np.zeros((1, 3), dtype=np.float16), "CAM")
