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


def _as(mode: str, pixels: NDArray[np.uint8]) -> Image.Image:
    """The gray picture in another mode of Pillow."""
    gray = Image.fromarray(pixels)
    if mode == "I":
        return Image.fromarray(pixels.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(pixels.astype(np.float32) / np.float32(255))
    if mode == "I;16":
        return Image.fromarray(pixels.astype(np.uint16) * 257)
    if mode == "I;16B":
        wide = (pixels.astype(np.uint16) * 257).astype(">u2")
        return Image.frombytes("I;16B", gray.size, wide.tobytes())
    if mode == "CMYK":  # all in black ink, as scanners write gray
        black = Image.fromarray(255 - pixels)
        none = Image.new("L", gray.size, 0)
        return Image.merge("CMYK", (none, none, none, black))
    if mode in ("La", "RGBa", "PA"):
        return gray.convert({"La": "LA", "RGBa": "RGBA", "PA": "P"}[mode]).convert(mode)
    if mode in ("YCbCr", "HSV", "RGBX"):
        return gray.convert("RGB").convert(mode)
    return gray.convert(mode)


MODES = ["L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"]
MODES += ["I", "F", "I;16", "I;16B"]


@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize("mode", MODES)
def test_the_same_picture_in_every_mode_gives_the_same_pixels(
    mode: str, color: str, copepod: NDArray[np.uint8], preprocess: Preprocess
) -> None:
    steps = preprocess.model_copy(update={"color": color})
    image = _as(mode, copepod)
    assert image.mode == mode
    pixels = steps(image, "shadow")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (32, 32, steps.channels)
    expected = steps(Image.fromarray(copepod), "shadow").astype(int)
    assert abs(pixels - expected).max() <= (1 if mode == "YCbCr" else 0)  # Pillow rounds YCbCr


FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "16-bit PNG": ("I;16", "PNG", {}),
    "16-bit TIFF": ("I;16", "TIFF", {}),
    "16-bit TIFF, big-endian": ("I;16B", "TIFF", {}),
    "16-bit PGM": ("I", "PPM", {}),
    "float TIFF": ("F", "TIFF", {}),
    "palette PNG": ("P", "PNG", {}),
    "palette GIF": ("P", "GIF", {}),
    "CMYK TIFF": ("CMYK", "TIFF", {}),
    "gray and alpha PNG": ("LA", "PNG", {}),
    "RGBA PNG": ("RGBA", "PNG", {}),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_same_picture_in_every_file_gives_the_same_pixels(
    kind: str,
    copepod: NDArray[np.uint8],
    preprocess: Preprocess,
    encode: Callable[..., bytes],
) -> None:
    mode, name, options = FILES[kind]
    image = _decode(encode(_as(mode, copepod), name, **options))
    expected = preprocess(Image.fromarray(copepod), "shadow")
    assert np.array_equal(preprocess(image, "shadow"), expected)


def test_a_cmyk_jpeg_keeps_its_polarity(
    copepod: NDArray[np.uint8], preprocess: Preprocess, encode: Callable[..., bytes]
) -> None:
    image = _decode(encode(_as("CMYK", copepod), "JPEG", quality=95))
    assert image.mode == "CMYK"
    expected = preprocess(Image.fromarray(copepod), "shadow").astype(int)
    assert abs(preprocess(image, "shadow") - expected).max() < 12


@pytest.mark.parametrize("full", [1.0, 255.0, 65535.0])
def test_float_values_take_the_range_that_holds_them(full: float, preprocess: Preprocess) -> None:
    ramp = np.linspace(0, full, 32 * 32, dtype=np.float32).reshape(32, 32)
    pixels = preprocess(Image.fromarray(ramp), "shadow")[:, :, 0]
    assert np.array_equal(pixels, np.rint(ramp * np.float32(255 / full)).astype(np.uint8))


def test_a_16_bit_ramp_is_not_saturated(preprocess: Preprocess) -> None:
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    pixels = preprocess(Image.fromarray(ramp), "shadow")
    assert np.array_equal(pixels[:, :, 0], ramp >> 8)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 70_000]], np.int32),
        np.array([[-1, 5]], np.int32),
        np.array([[0, np.nan]], np.float32),
        np.array([[0, np.inf]], np.float32),
        np.array([[-2, 1]], np.float32),
        np.array([[0, 1e6]], np.float32),
    ],
)
def test_values_of_no_known_range_are_refused(values: NDArray[Any], preprocess: Preprocess) -> None:
    with pytest.raises(ImageError, match="unsupported_mode"):
        preprocess(Image.fromarray(values), "shadow")


def test_an_unknown_mode_is_refused(preprocess: Preprocess) -> None:
    with pytest.raises(ImageError, match="unsupported_mode: pixels of the mode LAB"):
        preprocess(Image.new("LAB", (4, 4)), "shadow")


@pytest.mark.parametrize("instrument", ["shadow", "dark_field"])
@pytest.mark.parametrize("mode", ["LA", "RGBA", "PNG palette", "PNG color key"])
def test_transparent_ground_comes_out_white(
    mode: str, instrument: str, preprocess: Preprocess, encode: Callable[..., bytes]
) -> None:
    if mode == "PNG palette":
        indexed = Image.new("P", (32, 32), 1)
        indexed.putpalette([10, 20, 30, 90, 80, 70])
        image = _decode(encode(indexed, "PNG", transparency=1))
    elif mode == "PNG color key":
        image = _decode(encode(Image.new("L", (32, 32), 99), "PNG", transparency=99))
    else:
        image = Image.new(mode, (32, 32), (0,) * len(mode))
    assert (preprocess(image, instrument) == 255).all()


def test_half_transparent_ink_is_mixed_with_white(preprocess: Preprocess) -> None:
    pixels = preprocess(Image.new("LA", (32, 32), (55, 128)), "shadow")
    assert abs(pixels.astype(int) - (55 * 128 + 255 * 127) / 255).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_undone(
    kind: str,
    orientation: int,
    copepod: NDArray[np.uint8],
    preprocess: Preprocess,
    encode: Callable[..., bytes],
) -> None:
    as_stored = {
        1: copepod,
        2: copepod[:, ::-1],
        3: copepod[::-1, ::-1],
        4: copepod[::-1],
        5: copepod.T,
        6: copepod.T[::-1],
        7: copepod.T[::-1, ::-1],
        8: copepod.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(np.ascontiguousarray(as_stored), kind, exif=exif, **options)
    expected = preprocess(Image.fromarray(copepod), "shadow")
    assert np.array_equal(preprocess(_decode(data), "shadow"), expected)


def test_damaged_exif_is_no_rotation(
    copepod: NDArray[np.uint8], preprocess: Preprocess, encode: Callable[..., bytes]
) -> None:
    image = _decode(encode(copepod, "PNG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff"))
    assert preprocess(image, "shadow").shape == (32, 32, 1)


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
