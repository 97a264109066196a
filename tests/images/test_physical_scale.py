"""One scale for several instruments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from plankton_da.config import InstrumentPreprocessConfig, PreprocessConfig
from plankton_da.errors import DataError
from plankton_da.images.physical_scale import SizedImages, require_same_sizes, with_scale
from plankton_da.images.preprocess import InstrumentLook, Preprocess

OLD_HASH = "5e596574c6ebaec1ad8cf87aa7d2d72e6f9e5625a03146353b9f016141c00f8e"
PHYSICAL = PreprocessConfig(scale="physical")


def sized(image_size: int = 64, um_per_pixel: float = 20.0, **sizes: float) -> Preprocess:
    looks = {name: InstrumentLook(pixel_size_um=size) for name, size in sizes.items()}
    return Preprocess(
        image_size=image_size, scale="physical", um_per_pixel=um_per_pixel, instruments=looks
    )


def organism(height: int, width: int) -> Image.Image:
    """Black, up to the border, with one white pixel all around."""
    return Image.fromarray(np.pad(np.zeros((height, width), np.uint8), 1, constant_values=255))


def extent(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    dark = pixels[:, :, 0] < 128
    return int(dark.any(axis=1).sum()), int(dark.any(axis=0).sum())


@pytest.mark.parametrize(
    ("size", "height", "width"), [(10.0, 40, 60), (40.0, 10, 15), (20.0, 20, 30)]
)
def test_an_organism_is_as_large_whatever_the_camera(size: float, height: int, width: int) -> None:
    pixels = sized(CAM=size)(organism(height, width), "CAM")
    tall, wide = extent(pixels)
    assert abs(tall - 20) <= 1
    assert abs(wide - 30) <= 1
    assert pixels.shape == (64, 64, 1)


def test_the_scale_of_a_single_pixel_is_exact() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    pixels = sized(CAM=20.0)(Image.fromarray(noise), "CAM")
    assert np.array_equal(pixels[22:42, 17:47, 0], noise)


def test_what_does_not_fit_is_shrunk_to_fit(preprocess: Preprocess) -> None:
    image = organism(80, 150)
    fitted = Preprocess(image_size=64, instruments={"CAM": InstrumentLook()})
    assert np.array_equal(sized(CAM=20.0)(image, "CAM"), fitted(image, "CAM"))


@given(st.integers(1, 90), st.integers(1, 90), st.floats(0.15, 250.0), st.floats(0.001, 1e6))
def test_any_size_gives_a_square(height: int, width: int, size: float, um: float) -> None:
    image = Image.new("L", (width, height), 7)
    pixels = sized(image_size=32, um_per_pixel=um, CAM=size)(image, "CAM")
    assert pixels.shape == (32, 32, 1)
    assert (pixels == 7).all()


def test_bundles_from_before_keep_their_hash() -> None:
    old = {"image_size": 64, "instruments": {"CAM": {"invert": True}}}
    made = Preprocess.model_validate(old)
    assert made.scale == "fit"
    assert made.hash() == OLD_HASH
    assert made.model_copy(update={"um_per_pixel": 5.0}).hash() == made.hash()


def test_every_number_of_the_scale_changes_the_hash() -> None:
    plain = Preprocess(image_size=64, instruments={"A": InstrumentLook(), "B": InstrumentLook()})
    variants = [
        plain,
        sized(A=10.0, B=20.0),
        sized(A=10.0, B=21.0),
        sized(A=10.0, B=20.0, um_per_pixel=21.0),
    ]
    assert len({each.hash() for each in variants}) == len(variants)


def test_a_physical_scale_without_sizes_is_none() -> None:
    with pytest.raises(ValidationError, match="no CAM"):
        Preprocess(
            image_size=64, scale="physical", um_per_pixel=1, instruments={"CAM": InstrumentLook()}
        )
    with pytest.raises(ValidationError, match="no um_per_pixel"):
        Preprocess(image_size=64, scale="physical")
    with pytest.raises(ValidationError, match="um_per_pixel has no effect with scale: fit"):
        PreprocessConfig(um_per_pixel=3.0)
    with pytest.raises(ValidationError, match=r"instruments\.A\.pixel_size_um has no effect"):
        PreprocessConfig(instruments={"A": InstrumentPreprocessConfig(pixel_size_um=3.0)})


@pytest.fixture
def images(tmp_path: Path) -> dict[str, SizedImages]:
    """A: 100 px of 2 µm; B: 30 px of 10 µm, which is 300 µm."""
    found = {}
    for name, side, size in (("A", 100, "2.0"), ("B", 30, "10")):
        Image.new("L", (side, side // 2), 9).save(tmp_path / f"{name}.png")
        found[name] = SizedImages([f"{name}.png"] * 9, [tmp_path] * 9, [size] * 9)
    return found


FIT = Preprocess(image_size=64, instruments={"A": InstrumentLook(), "B": InstrumentLook()})


def test_the_square_shows_the_largest_organisms_of_both(images: dict[str, SizedImages]) -> None:
    made = with_scale(FIT, PHYSICAL, images)
    assert made.um_per_pixel == pytest.approx(300 / 64, rel=1e-3)
    assert {name: look.pixel_size_um for name, look in made.instruments.items()} == {
        "A": 2.0,
        "B": 10.0,
    }
    given = PreprocessConfig(scale="physical", um_per_pixel=7.0)
    assert with_scale(FIT, given, images).um_per_pixel == 7.0
    assert with_scale(FIT, PreprocessConfig(), images) is FIT
    assert Preprocess.model_validate_json(made.model_dump_json()) == made


def test_sizes_that_are_not_known_or_not_one(images: dict[str, SizedImages]) -> None:
    a = images["A"]
    images["A"] = SizedImages(a.refs, a.roots, ["", *a.sizes[1:]])
    images["B"] = SizedImages(a.refs, a.roots, ["10", "20", *["10"] * 7])
    with pytest.raises(DataError) as caught:
        with_scale(FIT, PHYSICAL, images)
    assert "A: 1 of 9 rows have no pixel_size_um" in str(caught.value)
    assert "B: pixels of 10 to 20 µm" in str(caught.value)
    images["B"] = SizedImages(a.refs, a.roots, ["10", "10.1", *["10"] * 7])
    settings = PreprocessConfig(
        scale="physical", instruments={"A": InstrumentPreprocessConfig(pixel_size_um=2.01)}
    )
    assert with_scale(FIT, settings, images).instruments["B"].pixel_size_um == pytest.approx(
        10, rel=0.01
    )
    wrong = PreprocessConfig(
        scale="physical", instruments={"A": InstrumentPreprocessConfig(pixel_size_um=3.0)}
    )
    with pytest.raises(DataError, match="A: pixels of 2 to 3 µm"):
        with_scale(FIT, wrong, images)


def test_images_of_another_magnification_are_refused() -> None:
    require_same_sizes(sized(A=10.0), {"A": 10.2, "unknown": 3.0}, "m.csv")
    require_same_sizes(FIT, {"A": 99.0}, "m.csv")
    with pytest.raises(DataError, match=r"m\.csv: pixels of A are 20 µm wide.*trained with 10 µm"):
        require_same_sizes(sized(A=10.0), {"A": 20.0}, "m.csv")
