"""Pictures of every mode as 8-bit gray or RGB, by fixed rules that no image can bend.

Pillow's own conversions saturate 16-bit images and turn float images black.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from plankton_da.errors import ImageError
from plankton_da.images.decoding import DAMAGE

_ORIENTATION = 0x0112
_SIXTEEN_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_GRAY = frozenset({"1", "L"})
_COLOR = frozenset({"P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; damaged EXIF says nothing."""
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
    except DAMAGE:
        return image
    return ImageOps.exif_transpose(image) if turned else image


def eight_bit(image: Image.Image, ground: int) -> Image.Image:
    """The image in mode L or RGB; transparency is laid over the gray value ``ground``.

    16-bit values keep their upper 8 bits, whatever range the image uses. Float values take the
    first of the ranges 0..1, 0..255, 0..65535 that holds them all; negative ones become 0.

    Raises:
        ImageError: unsupported_mode.
    """
    mode = image.mode
    if mode in _SIXTEEN_BIT:
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if mode == "I":
        return _integers(image)
    if mode == "F":
        return _floats(image)
    if mode in _WITH_ALPHA or ("transparency" in image.info and mode in _GRAY | _COLOR):
        return _opaque(image, ground)
    if mode in _GRAY:
        return image.convert("L")
    if mode in _COLOR:
        return image.convert("RGB")
    raise ImageError("unsupported_mode", f"pixels of the mode {mode}; save it as gray or RGB")


def _integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image)  # int32; 16-bit PGM and signed TIFF arrive so
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            "unsupported_mode", f"32-bit values from {low} to {high}; 0 to 65535 can be scaled"
        )
    return Image.fromarray((values >> 8).astype(np.uint8))


def _floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)  # float32
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("unsupported_mode", "float values that are not finite")
    full = next((full for full in (1.0, 255.0, 65535.0) if high <= full), None)
    if full is None or low < -high:
        raise ImageError(
            "unsupported_mode", f"float values from {low:g} to {high:g}; 0 to 65535 can be scaled"
        )
    scaled = np.clip(values, 0, None) * np.float32(255 / full)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _opaque(image: Image.Image, ground: int) -> Image.Image:
    gray = image.mode in ("1", "L", "LA", "La")
    straight = image.convert("LA") if image.mode == "La" else image
    layer = straight.convert("RGBA")
    below = Image.new("RGBA", layer.size, (ground, ground, ground, 255))
    return Image.alpha_composite(below, layer).convert("L" if gray else "RGB")
