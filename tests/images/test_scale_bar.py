"""Burnt-in scale bars are found, and organisms are not taken for them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from plankton_da.images.scale_bar import FOOTER_PX, has_scale_bar


def vignette(
    width: int = 60, height: int = 50, *, white: bool = True, bar: int = 27, quality: int = 0
) -> NDArray[np.uint8]:
    """A blob over a footer with words and a bar of ``bar`` px; JPEG where ``quality`` is given."""
    ground, ink = (254, 0) if white else (0, 255)
    image = Image.new("L", (width, height + FOOTER_PX), ground)
    draw = ImageDraw.Draw(image)
    draw.ellipse((5, 0, 30, min(25, height - 1)), fill=abs(ground - 120))
    low = height + FOOTER_PX - 4
    draw.line([(9, low + 2), (9, low), (9 + bar, low), (9 + bar, low + 2)], fill=ink)
    draw.text((10, low - 14), "2 mm", fill=ink)
    if quality:
        stream = io.BytesIO()
        image.save(stream, "jpeg", quality=quality)
        image = Image.open(stream)
    return np.asarray(image)


@pytest.mark.parametrize("white", [True, False])
@pytest.mark.parametrize("bar", [14, 27, 94])
@pytest.mark.parametrize("quality", [0, 75])
def test_a_bar_is_found_on_any_ground(white: bool, bar: int, quality: int) -> None:
    assert has_scale_bar(vignette(120, white=white, bar=bar, quality=quality))


@pytest.mark.parametrize("height", [1, 9, 60])
def test_small_vignettes_have_it_too(height: int) -> None:
    assert has_scale_bar(vignette(height=height))


def test_without_the_footer_there_is_none() -> None:
    assert not has_scale_bar(vignette()[:-FOOTER_PX])
    assert not has_scale_bar(vignette()[::-1])
    assert not has_scale_bar(vignette()[:, ::-1])


@pytest.mark.parametrize("shape", [(1, 1), (31, 60), (60, 1), (40, 40), (300, 300)])
@pytest.mark.parametrize("value", [0, 127, 255])
def test_plain_images_have_none(shape: tuple[int, int], value: int) -> None:
    assert not has_scale_bar(np.full(shape, value, np.uint8))


def test_noise_and_a_body_across_the_bottom_have_none() -> None:
    rng = np.random.default_rng(0)
    assert not has_scale_bar(rng.integers(0, 256, (80, 80), dtype=np.uint8))
    body = np.full((80, 80), 255, np.uint8)
    body[60:70, 5:70] = 40  # a thick horizontal body
    assert not has_scale_bar(body)


def test_every_image_of_a_real_export_has_one(shared_data: Path) -> None:
    name = shared_data / "formats" / "ecotaxa" / "zooscan" / "export_13539_20240728_0803.zip"
    with zipfile.ZipFile(name) as archive:
        images = [each for each in archive.namelist() if each.endswith(".jpg")]
        gray = [Image.open(io.BytesIO(archive.read(each))).convert("L") for each in images]
    assert len(gray) == 437
    assert all(has_scale_bar(np.asarray(each)) for each in gray)


def test_hardly_an_image_without_bar_is_taken_for_one(shared_data: Path) -> None:
    files = sorted((shared_data / "isiis_pwspc" / "isiis").rglob("*.jpg"))[::10]
    found = sum(has_scale_bar(np.asarray(Image.open(file).convert("L"))) for file in files)
    assert len(files) > 400
    assert found / len(files) < 0.01
