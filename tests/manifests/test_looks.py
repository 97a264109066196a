"""What was done to the images of a manifest is said, camera by camera; it is no error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from plankton_da.images.stretched import is_stretched
from plankton_da.manifests.checks import check_manifest, check_manifests
from plankton_da.manifests.looks import OPENED, look_at, remarks_on
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


def test_stretched_levels_are_said(tmp_path: Path) -> None:
    """As ClassiPyR and iRfcb export an IFCB's images: each spans 0 to 255."""
    rng = np.random.default_rng(0)
    lines = ["object_id,image,instrument"]
    for number in range(4):
        plain = np.clip(rng.normal(170, 25, (90, 120)), 30, 240).round()
        low, high = plain.min(), plain.max()
        stretched = (plain - low) / (high - low) * 255
        for camera, pixels in (("BINS", plain), ("EXPORTED", stretched)):
            name = f"{camera}{number}.png"
            Image.fromarray(pixels.round().astype(np.uint8)).save(tmp_path / name)
            lines.append(f"{name},{name},{camera}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    report = check_manifest(tmp_path / "m.csv", open_images=True, workers=1)
    assert report.ok
    (remark,) = report.remarks
    assert remark.startswith("EXPORTED: the gray levels of 4 of 4 images")
    assert "manifest build ifcb" in remark


@pytest.mark.parametrize("kind", ["few_pixels", "saturated", "two_levels", "curve"])
def test_a_camera_s_own_levels_are_not_taken_as_stretched(kind: str) -> None:
    rng = np.random.default_rng(0)
    drawn = {
        "few_pixels": rng.integers(0, 256, (20, 20)),
        "saturated": np.clip(rng.normal(128, 120, (200, 200)), 0, 255),
        "curve": 255 * (np.clip(rng.normal(200, 50, (150, 150)), 0, 255).round() / 255) ** 1.4,
        "two_levels": 255 * rng.integers(0, 2, (100, 100)),
    }[kind].astype(np.uint8)
    drawn[0, :2] = 0, 255
    assert not is_stretched(drawn)
