"""Features of frozen stages: computed once, right, shared between runs, never half."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plankton_da.adaptation.frozen_features import FrozenFeatures, compute_frozen_features
from plankton_da.adaptation.views import AugmentedImages
from plankton_da.config import ModelConfig
from plankton_da.images.augment import build_augmentation
from plankton_da.images.cache import PixelSource, open_pixels
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.classifier import PlanktonNetwork, build_network

PREPROCESS = Preprocess(image_size=32, instruments={"CAM": InstrumentLook()})
IMAGES = 7
COPIES = 3


@pytest.fixture
def source(tmp_path: Path) -> PixelSource:
    """Six drawn images, and one that is none in the middle."""
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"not an image")
    refs = [f"{number}.png" for number in range(IMAGES)]
    return open_pixels(refs, tmp_path, "CAM", PREPROCESS, on_bad_image="skip")


def network_of(seed: int = 0) -> PlanktonNetwork:
    config = ModelConfig(backbone="test_resnet", pretrained="none", bottleneck_dim=0, freeze=2)
    network = build_network(
        config, 3, preprocess=PREPROCESS, domains={"CAM": "mid"}, seed=seed
    ).train()
    assert network.divide(torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8))
    return network


def features_of(
    source: PixelSource, folder: Path, network: PlanktonNetwork, preset: str = "instrument"
) -> FrozenFeatures:
    augmented = AugmentedImages(source, build_augmentation(preset, 32))  # type: ignore[arg-type]
    return compute_frozen_features(
        network,
        source,
        augmented,
        preset=preset,
        copies=COPIES,
        folder=folder,
        device=torch.device("cpu"),
        progress=False,
    )


def test_without_augmentation_they_are_the_frozen_stages_of_each_image(
    source: PixelSource, tmp_path: Path
) -> None:
    network = network_of()
    features = features_of(source, tmp_path / "cache", network, preset="none")
    rows = np.flatnonzero(source.good)
    drawn = features.draw(rows, (0, 1))
    pixels = torch.from_numpy(source.read_many(rows).transpose(0, 3, 1, 2).copy())
    expected = network.frozen_features(pixels).numpy()
    assert drawn.dtype == np.float16
    np.testing.assert_allclose(drawn, expected, rtol=1e-3, atol=1e-3)


def test_copies_differ_and_a_draw_is_a_function_of_its_seed(
    source: PixelSource, tmp_path: Path
) -> None:
    features = features_of(source, tmp_path / "cache", network_of())
    rows = np.array([0] * 40)
    drawn = features.draw(rows, (5, 1))
    assert len({row.tobytes() for row in drawn}) == COPIES
    again = pickle.loads(pickle.dumps(features)).draw(rows, (5, 1))  # as a loader's process has it
    np.testing.assert_array_equal(drawn, again)
    assert not np.array_equal(drawn, features.draw(rows, (6, 1)))
    part = features.draw(rows, (5, 1), slice(1, None, 2))  # of the second of two processes
    np.testing.assert_array_equal(part, drawn[1::2])


def test_bad_images_are_said_to_be_bad(source: PixelSource, tmp_path: Path) -> None:
    features = features_of(source, tmp_path / "cache", network_of())
    np.testing.assert_array_equal(features.good, np.arange(IMAGES) != 3)


def test_the_same_frozen_weights_and_images_are_computed_once(
    source: PixelSource, tmp_path: Path
) -> None:
    network = network_of()
    first = features_of(source, tmp_path / "cache", network)
    state = first.path.stat().st_mtime_ns
    with torch.no_grad():
        network.head.weight.add_(1)  # what learns has no say
    assert features_of(source, tmp_path / "cache", network).path == first.path
    assert first.path.stat().st_mtime_ns == state
    others = {
        features_of(source, tmp_path / "cache", network_of(seed=1)).path,
        features_of(source, tmp_path / "cache", network, preset="none").path,
    }
    assert first.path not in others
    assert len(others) == 2


def test_an_interrupted_computation_leaves_nothing_that_counts_as_done(
    source: PixelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, calls = network_of(), []

    def stop(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return PlanktonNetwork.frozen_features(network, images)

    monkeypatch.setattr(network, "frozen_features", stop)
    with pytest.raises(KeyboardInterrupt):
        features_of(source, tmp_path / "cache", network)
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.undo()
    assert features_of(source, tmp_path / "cache", network).path.is_file()
