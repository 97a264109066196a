"""Images as files that every tool reads: their own bytes where it does, else a PNG."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

from plankton_da.errors import ImageError
from plankton_da.images.archives import read_member
from plankton_da.images.eight_bit import eight_bit, upright
from plankton_da.images.refs import address_of, file_of, open_image
from plankton_da.images.remote import fetch, is_remote

_WHITE = 255


def image_file(ref: str, root: Path, formats: Collection[str]) -> tuple[bytes, str]:
    """The bytes of an image file, and its format as Pillow names it.

    An image whose format is in ``formats`` keeps its bytes, after they were decoded as a test. Any
    other, and one that is a part of a file (a ROI, a box in a collage), becomes an 8-bit PNG.

    Raises
    ------
    ImageError
        It cannot be read, or its pixels cannot be brought to 8 bits by a fixed rule.
    """
    image = open_image(ref, root)
    kind = image.format or ""
    if is_remote(ref) and "#" not in ref and kind in formats:
        return fetch(address_of(ref)), kind
    place = file_of(ref, root)
    if not place.part and kind in formats:
        return _bytes_of(place.path, place.members), kind
    buffer = io.BytesIO()
    eight_bit(upright(image), _WHITE).save(buffer, format="PNG")
    return buffer.getvalue(), "PNG"


def _bytes_of(path: Path, members: tuple[str, ...]) -> bytes:
    try:
        return read_member(path, members) if members else path.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", error.strerror or "the file cannot be read") from error
