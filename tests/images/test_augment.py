from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from plankton_da.images.augment import Augment, FreePose, build_augmentation
from plankton_da.images.polarity import estimate_polarity


@pytest.fixture(scope="module")
def square(copepod: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (64, 64, 1)."""
    pixels = np.full((64, 64, 1), 226, np.uint8)
    pixels[8:56, :, 0] = copepod
    return pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("preset", ["instrument", "strong", "none"])
def test_shape_and_type_stay(preset: str, channels: int, square: NDArray[np.uint8]) -> None:
    image = np.repeat(square, channels, axis=2)
    before = image.copy()
    augment = build_augmentation(preset, 64)  # type: ignore[arg-type]
    for seed in range(60):
        changed = augment(image, (seed,))
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
    assert np.array_equal(image, before)


def test_none_changes_nothing(square: NDArray[np.uint8]) -> None:
    assert np.array_equal(build_augmentation("none", 64)(square, (1, 2)), square)


def test_only_the_seed_decides(square: NDArray[np.uint8]) -> None:
    augment = build_augmentation("instrument", 64)
    forwards = [augment(square, (0, 7, row)) for row in range(80)]
    other = pickle.loads(pickle.dumps(build_augmentation("instrument", 64)))
    backwards = [other(square, (0, 7, row)) for row in reversed(range(80))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({image.tobytes() for image in forwards}) > 70  # and it does decide


@pytest.mark.parametrize("seeds", [((0, 1, 2), (0, 2, 1)), ((1, 0), (0, 1)), ((5, 3), (3, 5))])
def test_every_part_of_the_seed_counts(
    seeds: tuple[tuple[int, ...], tuple[int, ...]], square: NDArray[np.uint8]
) -> None:
    augment = build_augmentation("instrument", 64)
    first, second = (augment(square, seed) for seed in seeds)
    assert not np.array_equal(first, second)


FINGERPRINT = """
import hashlib, numpy as np
from plankton_da.images.augment import build_augmentation
image = (np.arange(64 * 64) % 251).astype(np.uint8).reshape(64, 64, 1)
augment = build_augmentation("instrument", 64)
found = hashlib.sha256(b"".join(augment(image, (3, n)).tobytes() for n in range(50))).hexdigest()
"""


def test_another_process_agrees() -> None:
    here: dict[str, str] = {}
    exec(FINGERPRINT, here)
    command = [sys.executable, "-c", FINGERPRINT + "print(found)"]
    there = subprocess.run(command, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here["found"]


def _flips(seeds: range) -> NDArray[np.int64]:
    """(seeds, 3): horizontal, vertical, transposed; read off a marked corner and its neighbour."""
    marked = np.zeros((32, 32, 1), np.uint8)
    marked[:8, :8] = 250
    marked[:8, 8:16] = 120
    augment = build_augmentation("instrument", 32)
    flips_only = Augment(list(augment._transforms.transforms[:3]))  # type: ignore[union-attr]
    rows = []
    for seed in seeds:
        image = flips_only(marked, (seed,))[:, :, 0]
        top, left = next(
            (top, left) for top in (0, 31) for left in (0, 31) if image[top, left] == 250
        )
        beside = image[top, 12 if left == 0 else 19]
        rows.append((left != 0, top != 0, beside != 120))
    return np.array(rows, np.int64)


def test_transforms_are_independent() -> None:
    flips = _flips(range(1200))
    codes = flips @ [1, 2, 4]
    counts = np.bincount(codes, minlength=8)
    # 8 equally likely outcomes: chi square with 7 degrees of freedom, 99.9% point 24.3
    assert ((counts - 150) ** 2 / 150).sum() < 24.3


def test_neighbouring_seeds_are_independent() -> None:
    flips = _flips(range(1200)) * 2 - 1
    for lag in (1, 2, 3):
        assert abs((flips[lag:] * flips[:-lag]).mean(axis=0)).max() < 0.11


@pytest.mark.parametrize("channels", [1, 3])
def test_what_comes_into_view_is_the_images_own_ground(channels: int) -> None:
    ground = np.array([212, 199, 187], np.uint8)[:channels]
    image = np.empty((64, 64, channels), np.uint8)
    image[...] = ground
    image[24:40, 24:40] = 50
    augment = Augment([FreePose(scale=1.25, shift=0.08, p=1.0)])
    for seed in range(40):
        border = np.concatenate(_edges(augment(image, (seed,))))
        assert (border == ground).all()


def _edges(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    return image[0], image[-1], image[:, 0], image[:, -1]


def test_a_free_pose_keeps_size_and_place_within_its_limits() -> None:
    image = np.full((128, 128, 1), 200, np.uint8)
    image[54:74, 54:74] = 50
    augment = Augment([FreePose(scale=1.25, shift=0.08, p=1.0)])
    areas = []
    for seed in range(200):
        dark = augment(image, (seed,))[:, :, 0] < 125
        y, x = np.nonzero(dark)
        assert abs(y.mean() - 63.5) < 0.08 * 128 + 1
        assert abs(x.mean() - 63.5) < 0.08 * 128 + 1
        areas.append(dark.sum() / 400)
    assert 1.25**-2 * 0.93 < min(areas) < 0.75
    assert 1.35 < max(areas) < 1.25**2 * 1.07


def test_the_organism_stays_dark_and_visible(square: NDArray[np.uint8]) -> None:
    augment = build_augmentation("instrument", 64)
    images = [augment(square, (seed,))[:, :, 0] for seed in range(300)]
    assert estimate_polarity(images) == ("dark_on_light", 1.0)
    contrast = [np.median(image) - np.percentile(image, 3) for image in images]
    assert min(contrast) > 40
    assert min(np.median(image) for image in images) > 110  # ground stays light
    assert np.mean([np.median(image) == 255 for image in images]) < 0.05  # and unsaturated


def test_the_strong_view_is_stronger_and_leaves_the_organism_to_be_seen(
    square: NDArray[np.uint8],
) -> None:
    """Ground hides nothing: at most three patches of at most three tenths of a side."""
    distances = {}
    for preset in ("instrument", "strong"):
        augment = build_augmentation(preset, 64)  # type: ignore[arg-type]
        images = [augment(square, (seed,))[:, :, 0] for seed in range(300)]
        contrast = [np.median(image) - np.percentile(image, 3) for image in images]
        assert min(contrast) > 20
        assert min(np.median(image) for image in images) > 55
        levels = [np.quantile(image, np.linspace(0, 1, 21)) for image in images]
        distances[preset] = np.abs(np.array(levels) - np.quantile(square, np.linspace(0, 1, 21)))
    assert distances["strong"].mean() > 1.25 * distances["instrument"].mean()
