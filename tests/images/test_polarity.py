from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from plankton_da.config import CropConfig, InstrumentPreprocessConfig
from plankton_da.errors import DataError
from plankton_da.images.polarity import estimate_polarity, find_look

AUTO = InstrumentPreprocessConfig()


def _noisy(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 6, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def test_polarity_follows_the_negative(copepod: NDArray[np.uint8]) -> None:
    images = [_noisy(copepod, seed) for seed in range(9)]
    assert estimate_polarity(images) == ("dark_on_light", 1.0)
    assert estimate_polarity([255 - image for image in images]) == ("light_on_dark", 1.0)


def test_the_share_counts_who_agrees(copepod: NDArray[np.uint8]) -> None:
    images = [copepod] * 3 + [255 - copepod] * 7
    polarity, share = estimate_polarity(images)
    assert polarity == "light_on_dark"
    assert share == pytest.approx(0.7)


def test_gray_ground_and_faint_objects_are_told_apart() -> None:
    faint = np.full((40, 40), 128, np.uint8)
    faint[15:25, 15:25] = 110
    assert estimate_polarity([faint]) == ("dark_on_light", 1.0)
    assert estimate_polarity([255 - faint]) == ("light_on_dark", 1.0)


def test_an_object_larger_than_its_ground_is_still_the_object() -> None:
    large = np.full((40, 40), 30, np.uint8)
    large[[0, -1]] = large[:, [0, -1]] = 220
    assert estimate_polarity([large]) == ("dark_on_light", 1.0)


def test_images_without_an_object_do_not_vote(copepod: NDArray[np.uint8]) -> None:
    blank = np.full((20, 20), 200, np.uint8)
    one_pixel = np.full((1, 1), 3, np.uint8)
    assert estimate_polarity([blank, one_pixel]) == ("dark_on_light", 0.0)
    assert estimate_polarity([]) == ("dark_on_light", 0.0)
    assert estimate_polarity([blank, one_pixel, 255 - copepod]) == ("light_on_dark", 1.0)


@pytest.mark.parametrize(
    ("instrument", "polarity"), [("ISIIS", "dark_on_light"), ("PWSPC", "light_on_dark")]
)
def test_real_cameras(instrument: str, polarity: str, shared_data: Path) -> None:
    root = shared_data / "isiis_pwspc"
    with (root / "all.csv").open(newline="") as file:
        refs = [row["image"] for row in csv.DictReader(file) if row["instrument"] == instrument]
    look = find_look(instrument, AUTO, refs, root)
    assert look.polarity == polarity
    assert look.invert == (polarity == "light_on_dark")
    assert look.polarity_votes > 0.97


def test_the_config_decides_without_opening_an_image() -> None:
    settings = InstrumentPreprocessConfig(
        polarity="light_on_dark", crop=CropConfig(top=1, bottom=31, left=2, right=3)
    )
    look = find_look("UVP5", settings, ["absent.png"], Path("/nowhere"))
    assert look.invert
    assert look.crop == (1, 31, 2, 3)
    assert look.polarity_votes == 1.0


@pytest.fixture
def footer(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> tuple[Path, list[str]]:
    """Dark field images with a broad white scale bar below."""
    white = np.full((60, 64), 255, np.uint8)
    refs = [f"{n}.png" for n in range(4)]
    for ref in refs:
        (tmp_path / ref).write_bytes(encode(np.concatenate([255 - copepod, white]), "PNG"))
    return tmp_path, refs


def test_what_is_cropped_does_not_vote(footer: tuple[Path, list[str]]) -> None:
    root, refs = footer
    cropped = InstrumentPreprocessConfig(crop=CropConfig(bottom=60))
    assert find_look("a", cropped, refs, root).polarity == "light_on_dark"
    assert find_look("a", AUTO, refs, [root] * 4).polarity == "dark_on_light"  # the trap


def test_unreadable_images_do_not_vote(
    footer: tuple[Path, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    root, refs = footer
    (root / "text.png").write_text("no image")
    with caplog.at_level(logging.WARNING):
        look = find_look("a", AUTO, [*refs, "text.png", "absent.png"], root)
    assert look.polarity_votes == 1.0
    assert not caplog.records
    with pytest.raises(DataError, match=r"none of 2 sampled .* text.png: not_an_image"):
        find_look("a", AUTO, ["text.png", "absent.png"], root)
    with pytest.raises(DataError, match="there are no images"):
        find_look("a", AUTO, [], root)


def test_disagreement_is_said_with_the_way_out(
    tmp_path: Path,
    copepod: NDArray[np.uint8],
    encode: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for n, pixels in enumerate((copepod, copepod, 255 - copepod)):
        (tmp_path / f"{n}.png").write_bytes(encode(pixels, "PNG"))
    look = find_look("UVP6", AUTO, ["0.png", "1.png", "2.png"], tmp_path)
    assert look.polarity_votes == pytest.approx(2 / 3)
    assert "67% say dark_on_light" in caplog.text
    assert "data.preprocess.instruments.UVP6.polarity" in caplog.text
