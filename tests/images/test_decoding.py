from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plankton_da.errors import ImageError
from plankton_da.images.decoding import MAX_PIXELS, decode
from plankton_da.images.refs import open_image

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 95}),
    "progressive_jpeg": ("JPEG", {"quality": 95, "progressive": True}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "lzw_tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "deflate_tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "webp": ("WEBP", {"lossless": True}),
    "jpeg_2000": ("JPEG2000", {}),
    "pgm": ("PPM", {}),
}


LOSSY = {"jpeg", "progressive_jpeg"}


def _decode(data: bytes) -> Image.Image:
    return decode(io.BytesIO(data), len(data))


def _error(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        _decode(data)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_decodes(
    kind: str, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    name, options = KINDS[kind]
    image = _decode(encode(copepod, name, **options))
    difference = np.asarray(image.convert("L")).astype(int) - copepod
    assert abs(difference).max() <= (20 if kind in LOSSY else 0)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_truncated(
    kind: str, share: float, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    name, options = KINDS[kind]
    data = encode(np.tile(copepod, (3, 3)), name, **options)
    assert _error(data[: int(len(data) * share)]).code == "truncated"


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_an_image_or_an_image_error(
    kind: str, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    name, options = KINDS[kind]
    sound = encode(copepod, name, **options)
    draw = random.Random(kind)
    codes = set()
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(min(len(data), draw.choice([40, 200, 10**6])))] = draw.randrange(
                256
            )
        try:
            assert _decode(bytes(data)).size
        except ImageError as error:
            codes.add(error.code)
    assert codes <= {"truncated", "unreadable", "not_an_image", "too_large"}


def test_files_that_are_no_images() -> None:
    assert _error(b"").code == "empty_file"
    error = _error(b"<!DOCTYPE html><title>404</title>")
    assert error.code == "not_an_image"
    assert "<!DOCTYPE html>" in error.words  # says what was found
    assert _error(b"%!PS-Adobe-3.0 EPSF-3.0\n").code == "not_an_image"  # would start Ghostscript


def test_words_are_the_same_every_time() -> None:
    texts = {str(_error(b"not a picture")) for _ in range(3)}
    assert len(texts) == 1
    assert "0x" not in texts.pop()


def _png_of_zeros(width: int, height: int) -> bytes:
    """A valid 1-bit PNG, all black, made row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"), [(20_000, 20_000), (10_001, 10_000), (60_000, 60_000)]
)
def test_too_many_pixels(width: int, height: int) -> None:
    error = _error(_png_of_zeros(width, height))  # Pillow's own warning would be an error here
    assert error.code == "too_large"
    assert f"{width} x {height}" in error.words


def test_just_few_enough_pixels_decode() -> None:
    width = 9_990  # in the range where Pillow by itself would warn
    image = _decode(_png_of_zeros(width, width))
    assert 89_478_485 < image.width * image.height <= MAX_PIXELS


BOUNDED = """
import resource, sys
from pathlib import Path
from plankton_da.images.refs import open_image
from plankton_da.errors import ImageError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_image("huge.png", Path(sys.argv[1]))
except ImageError as error:
    print(error.code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_400_megapixel_file_takes_neither_memory_nor_warnings(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(_png_of_zeros(20_000, 20_000))
    ran = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    code, grown_mib = ran.stdout.split()
    assert code == "too_large"
    assert int(grown_mib) < 20
    assert ran.stderr == ""


def test_the_file_is_closed_and_the_image_whole(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(encode(copepod, "TIFF"))
    image = open_image("a.tif", tmp_path)
    path.unlink()
    assert np.array_equal(np.asarray(image), copepod)
    assert image.getexif() is not None
