from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plankton_da.errors import ImageError
from plankton_da.images.decoding import decode
from plankton_da.images.preprocess import Preprocess


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
