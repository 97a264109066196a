"""Scale bars in the images of a manifest are said, camera by camera; they are no error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from plankton_da.manifests.checks import check_manifest, check_manifests
from plankton_da.manifests.scale_bars import OPENED, look_at, remarks_on
from plankton_da.manifests.summary import check_summary
from plankton_da.manifests.table import read_manifest


def picture(path: Path, bar: bool) -> None:
    image = Image.new("L", (60, 80), 254)
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 8, 34, 30), fill=90)
    if bar:
        draw.line([(9, 78), (9, 76), (40, 76), (40, 78)], fill=0)
        draw.text((10, 62), "1 mm", fill=0)
    image.save(path)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three cameras: OLD has bars, NEW has none, MIXED has some; one image of OLD is damaged."""
    lines = ["object_id,image,instrument"]
    for camera, bars in {"OLD": [1, 1, 1], "NEW": [0, 0, 0], "MIXED": [0, 1, 0]}.items():
        for number, bar in enumerate(bars):
            picture(tmp_path / f"{camera}{number}.png", bool(bar))
            lines.append(f"{camera}{number},{camera}{number}.png,{camera}")
    (tmp_path / "damaged.png").write_bytes(b"nothing")
    lines.append("damaged,damaged.png,OLD")
    path = tmp_path / "m.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_check_says_which_camera_has_them(manifest: Path) -> None:
    report = check_manifest(manifest, open_images=True, workers=1)
    mixed, old = report.remarks
    assert old.startswith("OLD: a scale bar is burnt into the bottom 31 pixels of 3 of 3 images")
    assert "{OLD: {crop: {bottom: 31}}}" in old
    assert "1 of 3 images" in mixed
    assert "under different instrument names" in mixed
    assert report.totals == {"not_an_image": 1}  # the damaged one alone is an error
    assert report.as_json()["remarks"] == [mixed, old]
    assert old in check_summary(check_manifests([manifest], open_images=True, workers=1))


def test_images_are_not_opened_unasked(manifest: Path) -> None:
    assert check_manifest(manifest).remarks == ()


def test_damaged_images_are_handed_back_by_row(manifest: Path) -> None:
    images = read_manifest(manifest).table["image"]
    look = look_at(images, manifest.parent)
    assert (look.opened, look.with_bar, list(look.damaged)) == (10, 4, [9])
    assert look_at(images[:0], manifest.parent).opened == 0
    assert remarks_on(look_at(images[:0], manifest.parent), "X") == []


def test_at_most_256_images_are_opened_from_first_to_last(manifest: Path) -> None:
    images = read_manifest(manifest).table["image"]
    many = images.iloc[np.arange(2560) % 9].reset_index(drop=True)
    many.iloc[-1] = "damaged.png"
    look = look_at(many, manifest.parent)
    assert look.opened == OPENED
    assert list(look.damaged) == [2559]
