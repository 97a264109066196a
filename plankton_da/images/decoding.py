"""From bytes to a decoded picture, or to an ImageError that says what is wrong with them.

Pixel counts are checked before anything is decoded; Pillow alone does the decoding, because it
notices truncated files (OpenCV returns them half grey).
"""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

# Pillow registers these plug-ins only after a failed look-up, which two threads must not do at once
from PIL import (  # noqa: F401  # importing registers them  # isort: skip
    Jpeg2KImagePlugin,
    MpoImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from plankton_da.errors import ImageError

MAX_PIXELS = 100_000_000

# Formats whose plug-ins decode pictures and do nothing else (no Ghostscript, no embedded files)
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WEBP"),
    (b"\x00\x00\x00\x0cjP", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b"\x3b", "JPEG2000": b"\xff\xd9"}

# What Pillow's plug-ins raise on damaged files; Warning, because a process may turn those to errors
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
    Warning,
)

# Our own bound replaces Pillow's, which would warn first and whose limit is process-wide
Image.MAX_IMAGE_PIXELS = None
# Remarks about damaged metadata of pictures that are fine
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(file: IO[bytes], size: int) -> Image.Image:
    """Decode the first picture in ``file``, which is ``size`` bytes long.

    Raises:
        ImageError: empty_file, not_an_image, too_large, truncated or unreadable.
    """
    image = _open(file, size)
    try:
        image.load()
    except MemoryError as error:
        raise ImageError(
            "too_large", f"{image.width} x {image.height} pixels do not fit into memory"
        ) from error
    except DAMAGE as error:
        if "truncated" in str(error).lower() or _is_cut(image.format or "", file, size):
            raise ImageError(
                "truncated", f"the {image.format} data end early, after {size:,} bytes"
            ) from error
        raise ImageError("unreadable", f"damaged {image.format} data ({error})") from error
    return image


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file; nothing but its header is read.

    Raises:
        ImageError: missing, permission_denied, empty_file, not_an_image, too_large, truncated or
            unreadable.
    """
    try:
        with path.open("rb") as file:
            return _open(file, path.stat().st_size).size
    except FileNotFoundError:
        raise ImageError("missing", "no such file") from None
    except PermissionError:
        raise ImageError("permission_denied", "the file may not be read") from None
    except OSError as error:
        raise ImageError("unreadable", error.strerror or "the file cannot be read") from error


def _open(file: IO[bytes], size: int) -> Image.Image:
    if size == 0:
        raise ImageError("empty_file", "the file has 0 bytes")
    head = file.read(16)
    file.seek(0)
    try:
        image = Image.open(file, formats=_FORMATS)
    except DAMAGE as error:
        raise _header_error(error, head, file, size) from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            "too_large",
            f"{image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are decoded",
        )
    if image.width == 0 or image.height == 0:
        raise ImageError("unreadable", f"{image.width} x {image.height} pixels")
    return image


def _header_error(error: Exception, head: bytes, file: IO[bytes], size: int) -> ImageError:
    kind = next((name for start, name in _SIGNATURES if head.startswith(start)), None)
    if kind is None and isinstance(error, UnidentifiedImageError):
        return ImageError(
            "not_an_image",
            f"no image format that is read here ({', '.join(_FORMATS)}); "
            f"the file starts with {head!r}",
        )
    if "truncated" in str(error).lower() or (kind is not None and _is_cut(kind, file, size)):
        return ImageError(
            "truncated", f"the {kind or 'image'} data end early, after {size:,} bytes"
        )
    words = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
    return ImageError("unreadable", f"damaged {kind or 'image'} header{words}")


def _is_cut(kind: str, file: IO[bytes], size: int) -> bool:
    """Whether a damaged file lacks its end; on a sound one the answer means nothing."""
    file.seek(0)
    head = file.read(16)
    if kind == "WEBP":
        return len(head) < 8 or int.from_bytes(head[4:8], "little") + 8 > size
    if kind == "TIFF":
        return _lacks_directory(head, file, size)
    if kind in _END_MARKERS:
        file.seek(max(0, size - 4096))
        tail = file.read(4096)
        return _END_MARKERS[kind] not in (tail[-64:] if kind == "GIF" else tail)
    return False


def _lacks_directory(head: bytes, file: IO[bytes], size: int) -> bool:
    """Whether the first directory of a TIFF, often its last part, reaches beyond the file."""
    order = "<" if head.startswith(b"II") else ">"
    big = head[2:4] in (b"+\x00", b"\x00+")
    offset, count, entry = (8, "Q", 20) if big else (4, "H", 12)
    if len(head) < 16:
        return True
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), head, offset)
    if start + struct.calcsize(count) > size:
        return True
    file.seek(start)
    (entries,) = struct.unpack(order + count, file.read(struct.calcsize(count)))
    return bool(start + struct.calcsize(count) + entries * entry > size)
