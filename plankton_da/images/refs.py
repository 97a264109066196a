"""References to images, and the one place that opens them.

A ref is ``path``, ``archive.zip!member`` (or .tar) or ``a.zip!b.zip!member``. ``#x,y,w,h`` after
any of them is a box in that picture; ``BIN.roi#14`` is a ROI of an IFCB bin. Paths are relative to
the folder of the file that the ref stands in, or absolute. Inside names, ``%``, ``#``, ``!``,
control characters and bytes that are not UTF-8 are percent-encoded. In place of a path, the address
of an image elsewhere: ``https://``, as browsers take it, ``s3://`` or ``gs://``.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from plankton_da.errors import ImageError
from plankton_da.images import archives, collages, remote, rois
from plankton_da.images.decoding import MAX_PIXELS, decode

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Place",
    "address_of",
    "decode_name",
    "encode_name",
    "file_of",
    "open_image",
    "rebase",
    "ref_of",
]

IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {
        ".bmp",
        ".gif",
        ".j2k",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""suffixes, in lower case, of files that folders are searched for"""

_RESERVED = re.compile("[%#!\x00-\x1f\x7f\udc80-\udcff]")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
_PART = re.compile(r"#(\d[\d,]*)$")
_ROI = re.compile(r"([^%!#]+\.roi)#(\d+)")


class Place(NamedTuple):
    """Where the image of a ref is."""

    path: Path
    """the file"""
    members: tuple[str, ...] = ()
    """names inside archives, from the outermost on; none for a plain file"""
    part: str = ""
    """what stands after the ``#``: a box ``x,y,w,h`` or a ROI's number; '' for the whole picture"""


def encode_name(name: bytes | str) -> str:
    """A file's or archive member's name as it stands in a ref; ``decode_name`` undoes it."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    # a surrogate U+DCxx stands for the byte xx, which is not UTF-8 where it stands
    return _RESERVED.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", text)


def decode_name(text: str) -> str:
    """The name that ``text`` encodes, as Python's file functions take it; a lone % stays."""
    if "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    raw = _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), raw)
    return raw.decode("utf-8", "surrogateescape")


def ref_of(path: Path | str, relative_to: Path | str) -> str:
    """The ref of an image file, for a manifest in the folder ``relative_to``.

    Relative, with ``/``, also upwards; absolute where there is no relative path (another drive).
    """
    absolute, base = os.path.abspath(path), os.path.abspath(relative_to)
    if not absolute.startswith(base.rstrip(os.sep) + os.sep):
        # `..` leaves a linked folder by its real parent, so both sides must be real
        folder, name = os.path.split(absolute)
        absolute, base = os.path.join(_real(folder), name), _real(base)
    try:
        relative = os.path.relpath(absolute, base)
    except ValueError:
        relative = absolute
    return encode_name(relative.replace(os.sep, "/"))


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def file_of(ref: str, root: Path) -> Place:
    """The file that a ref names, the members inside it, and the part of the picture.

    A file that bears the ref's very text as its name counts too (a hand-written ``a#1.jpg``).
    """
    found = _PART.search(ref)
    whole, part = (ref[: found.start()], found[1]) if found else (ref, "")
    names = [decode_name(name) for name in whole.split("!")]
    path = root / names[0]
    if (part or len(names) > 1 or names[0] != ref) and not _exists(path) and _exists(root / ref):
        return Place(root / ref)
    return Place(path, tuple(names[1:]), part)


def rebase(ref: str, root: Path, folder: Path) -> tuple[str, str]:
    """A ref that is relative to ``root`` made relative to ``folder``, and its file's path.

    The path is '' for an image that is elsewhere.

    Both folders must be real: absolute and without symbolic links.
    """
    if remote.is_remote(ref):
        return ref, ""
    base = _base(root, folder)
    if os.path.isabs(ref) or any(mark in ref for mark in "%!#\\"):
        path, members, part = file_of(ref, root)
        inside = "".join(f"!{encode_name(member)}" for member in members)
        inside += f"#{part}" if part else ""
        return ref_of(path, folder) + inside, str(path)
    return (
        posixpath.normpath(f"{base}/{ref}") if base != "." else ref,
        os.path.join(root, ref),
    )


@lru_cache(maxsize=64)
def _base(root: Path, folder: Path) -> str:
    return ref_of(root, folder)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def open_image(ref: str, root: Path) -> Image.Image:
    """Open and fully decode the image that ``ref`` names; its EXIF rotation is not yet applied.

    Args:
        ref: see the module's first lines.
        root: the folder that a relative ref starts from.

    Raises:
        ImageError: with a code of ``ImageError.CODES``. The words name no absolute path, so that
            results of two machines can be compared.
    """
    if remote.is_remote(ref):
        return _open_remote(ref)
    roi = _ROI.fullmatch(ref)
    if roi:  # as below, but quick: a bin holds thousands of small images
        try:
            return rois.open_roi(os.path.join(root, roi[1]), roi[2])
        except OSError:
            pass  # said below
    place = file_of(ref, root)
    try:
        if not place.members and rois.is_bin(place.path):
            return rois.open_roi(str(place.path), place.part)
        if place.part:
            found = place.path.stat()
            key = (str(place.path), place.members, found.st_size, found.st_mtime_ns)
            return collages.cut_out(place.part, key, lambda: _open_whole(place))
        return _open_whole(place)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("missing", f"no file {_PART.sub('', ref.split('!')[0])}") from None
    except PermissionError:
        raise ImageError("permission_denied", "the file may not be read") from None
    except OSError as error:
        raise ImageError("unreadable", error.strerror or "the file cannot be read") from error
    except ValueError as error:  # a NUL in the name
        raise ImageError("missing", f"impossible file name ({error})") from None


def address_of(ref: str) -> str:
    """Where the file of a remote ref is, without the part of the picture.

    Raises:
        ImageError: it is a member of an archive.
    """
    if "!" in ref:
        words = "archives are read in place only where they are files; copy it to this machine"
        raise ImageError("unreadable", words)
    whole = _PART.sub("", ref)
    return whole if whole.startswith("http") else decode_name(whole)


def _open_remote(ref: str) -> Image.Image:
    found = _PART.search(ref)

    def opened() -> Image.Image:
        data = remote.fetch(address_of(ref))
        return decode(io.BytesIO(data), len(data))

    if found is None:
        return opened()
    return collages.cut_out(found[1], (address_of(ref), (), -1, -1), opened)


def _open_whole(place: Place) -> Image.Image:
    if place.members:
        data = archives.read_member(place.path, place.members)
        return decode(io.BytesIO(data), len(data))
    found = place.path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise ImageError("not_an_image", "it is a folder")
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
        raise ImageError("not_an_image", "it is no regular file")
    with place.path.open("rb") as file:
        return decode(file, found.st_size)
