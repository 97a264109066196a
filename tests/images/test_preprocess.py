from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from plankton_da.errors import DataError, ImageError
from plankton_da.images.decoding import decode
from plankton_da.images.preprocess import InstrumentLook, Preprocess, border_median


def _decode(data: bytes) -> Image.Image:
    return decode(io.BytesIO(data), len(data))


def test_a_square_of_the_right_size_is_left_alone(preprocess: Preprocess) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    assert np.array_equal(preprocess(Image.fromarray(noise), "shadow")[:, :, 0], noise)


def test_dark_field_is_the_exact_negative(
    copepod: NDArray[np.uint8], preprocess: Preprocess
) -> None:
    for image in (copepod, np.stack([copepod, 255 - copepod, copepod // 2], axis=2)):
        turned = preprocess(Image.fromarray(image), "dark_field")
        assert np.array_equal(turned, 255 - preprocess(Image.fromarray(image), "shadow"))


def test_shrinking_averages_areas(preprocess: Preprocess) -> None:
    quarters = np.random.default_rng(0).integers(0, 64, (32, 2, 32, 2)).astype(np.uint8) * 4
    pixels = preprocess(Image.fromarray(quarters.reshape(64, 64)), "shadow")[:, :, 0]
    assert abs(pixels - quarters.mean(axis=(1, 3))).max() <= 0.5


def test_enlarging_is_linear(preprocess: Preprocess) -> None:
    small = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
    expected = cv2.resize(small, (32, 32), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(preprocess(Image.fromarray(small), "shadow")[:, :, 0], expected)


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_padding_takes_the_borders_median_and_keeps_the_middle(
    color: str, preprocess: Preprocess
) -> None:
    wide = np.full((8, 32, 3), (200, 190, 180), np.uint8)
    wide[3:5, 10:20] = 40
    wide[0, 0] = 0  # a dark corner does not change a median
    steps = preprocess.model_copy(update={"color": color})
    pixels = steps(Image.fromarray(wide), "shadow")
    inner = np.asarray(Image.fromarray(wide).convert("L"))[:, :, None] if color == "gray" else wide
    assert np.array_equal(pixels[12:20], inner)
    assert (pixels[:12] == inner[1, 0]).all()
    assert (pixels[20:] == inner[1, 0]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 40_000), (40_000, 2), (2, 2)])
@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_any_size_gives_a_square(size: tuple[int, int], color: str, preprocess: Preprocess) -> None:
    steps = preprocess.model_copy(update={"color": color})
    for instrument, value in (("shadow", 77), ("dark_field", 178)):
        pixels = steps(Image.new("L", size, 77), instrument)
        assert pixels.shape == (32, 32, steps.channels)
        assert (pixels == value).all()


def test_crop_cuts_the_upright_image(
    copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    cropping = Preprocess(image_size=32, instruments={"a": InstrumentLook(crop=(2, 5, 3, 10))})
    plain = Preprocess(image_size=32, instruments={"a": InstrumentLook()})
    expected = plain(Image.fromarray(copepod[2:-5, 3:-10]), "a")
    assert np.array_equal(cropping(Image.fromarray(copepod), "a"), expected)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(np.ascontiguousarray(copepod.T[::-1]), "PNG", exif=exif)
    assert np.array_equal(cropping(_decode(data), "a"), expected)


def test_a_crop_that_leaves_nothing_is_an_image_error() -> None:
    steps = Preprocess(image_size=32, instruments={"a": InstrumentLook(crop=(0, 31, 0, 0))})
    with pytest.raises(ImageError, match=r"bottom 31.*40 x 31 pixels"):
        steps(Image.new("L", (40, 31)), "a")
    assert steps(Image.new("L", (40, 32)), "a").shape == (32, 32, 1)


def test_an_unknown_instrument_names_the_known_ones(preprocess: Preprocess) -> None:
    with pytest.raises(DataError, match=r"'IFCB'.*dark_field, shadow.*--instrument"):
        preprocess(Image.new("L", (4, 4)), "IFCB")


def test_the_input_is_not_changed(preprocess: Preprocess) -> None:
    image = Image.new("L", (32, 32), 10)
    preprocess(image, "dark_field")[:] = 3
    assert image.getpixel((0, 0)) == 10


def test_it_travels_as_json(preprocess: Preprocess, copepod: NDArray[np.uint8]) -> None:
    back = Preprocess.model_validate(json.loads(json.dumps(preprocess.model_dump(mode="json"))))
    assert back == preprocess
    assert back.hash() == preprocess.hash()
    for unknown in ({"image_size": 32, "colour": "gray"}, {"image_size": 0}, {}):
        with pytest.raises(ValidationError):
            Preprocess.model_validate(unknown)


def test_the_hash_changes_with_pixels_and_with_nothing_else(preprocess: Preprocess) -> None:
    shadow = preprocess.instruments["shadow"]
    others: list[dict[str, Any]] = [
        {"image_size": 33},
        {"color": "rgb"},
        {"instruments": {**preprocess.instruments, "new": shadow}},
        {"instruments": {**preprocess.instruments, "shadow": InstrumentLook(invert=True)}},
        {"instruments": {**preprocess.instruments, "shadow": InstrumentLook(crop=(0, 1, 0, 0))}},
    ]
    hashes = {preprocess.model_copy(update=other).hash() for other in others}
    assert len(hashes | {preprocess.hash()}) == len(others) + 1
    doubtful = shadow.model_copy(update={"polarity_votes": 0.6})
    same: list[dict[str, Any]] = [
        {"mean": (0.1, 0.2, 0.3), "std": (0.2, 0.2, 0.2)},
        {"instruments": {**preprocess.instruments, "shadow": doubtful}},
        {"instruments": dict(reversed(preprocess.instruments.items()))},
    ]
    assert {preprocess.model_copy(update=other).hash() for other in same} == {preprocess.hash()}


def test_pixels_stay_what_they_are(copepod: NDArray[np.uint8], preprocess: Preprocess) -> None:
    """Whoever makes this fail has changed pixels: raise ``preprocess.ALGORITHM`` with it."""
    color = np.stack([copepod, copepod // 2, 255 - copepod], axis=2)
    pixels = preprocess(Image.fromarray(color), "dark_field")[:, :, 0]
    assert pixels[::8, ::8].tolist() == PINNED


PINNED = [[118, 118, 118, 118], [118, 118, 118, 119], [120, 158, 197, 120], [117, 118, 117, 118]]


def test_border_median_is_a_value_of_the_border() -> None:
    pixels = np.array([[1, 2, 3], [4, 99, 5], [6, 7, 8]], np.uint8)
    assert border_median(pixels) == 5
    assert border_median(np.array([[9]], np.uint8)) == 9
    assert border_median(np.stack([pixels, pixels + 1], axis=2)).tolist() == [5, 6]
