"""The images inside folders and archives, in a stable order and without opening them."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from plankton_da.errors import ImageError
from plankton_da.images.refs import IMAGE_SUFFIXES, encode_name

_ZIP = ".zip"
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises on damaged, encrypted or unsupported archives"""


class Found(NamedTuple):
    """An image, or something that should have held images and cannot be read."""

    object_id: str
    ref: str
    path: str
    """of the file; '' where ``size`` and ``stamp`` say all"""
    size: int = -1
    stamp: int = -1
    problem: ImageError | None = None

    def state(self) -> tuple[int, int, ImageError | None]:
        """Size in bytes, a stamp that changes with the content, and what forbids opening it."""
        if not self.path:
            return self.size, self.stamp, self.problem
        try:
            status = os.stat(self.path)
        except OSError as error:
            return -1, -1, _as_image_error(error)
        if not stat.S_ISREG(status.st_mode):
            return -1, -1, ImageError("not_an_image", "not a regular file")
        return status.st_size, status.st_mtime_ns, None


def found_file(path: str, ref: str, object_id: str) -> Found:
    """One file that is to be classified."""
    return Found(text_of(object_id), ref, path)


def walk_folder(
    folder: str,
    ref: str,
    prefix: str,
    ignored: Counter[str],
    above: frozenset[tuple[int, int]] = frozenset(),
) -> Iterator[Found]:
    """Every image under ``folder``, names sorted by their bytes; hidden names are passed over.

    Symbolic links are followed, except to a folder that contains them. Archives are read in place.
    A folder that cannot be listed is one ``Found`` with a problem. ``ignored`` counts, by suffix,
    the files that are no images.
    """
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        with os.scandir(folder) as entries:
            names = sorted(
                (os.fsencode(entry.name), _is_folder(entry))
                for entry in entries
                if not entry.name.startswith(".")
            )
    except OSError as error:
        yield Found(prefix or ".", ref, "", problem=_as_image_error(error))
        return
    inside = above | {identity}
    start = f"{prefix}/" if prefix else ""
    ref_start = "" if ref == "." else f"{ref}/"
    for raw, is_folder in names:
        name = os.fsdecode(raw)
        path = os.path.join(folder, name)
        child = start + text_of(name)
        child_ref = ref_start + encode_name(name)
        suffix = os.path.splitext(name)[1].lower()
        if is_folder:
            yield from walk_folder(path, child_ref, child, ignored, inside)
        elif suffix in IMAGE_SUFFIXES:
            yield Found(child, child_ref, path)
        elif suffix == _ZIP:
            yield from walk_zip(path, child_ref, f"{child}!", ignored)
        else:
            ignored[suffix] += 1


def walk_zip(path: str, ref: str, prefix: str, ignored: Counter[str]) -> Iterator[Found]:
    """Every image in an archive, by name, and in the archives in it, one level deep.

    An archive that cannot be read is one ``Found`` with a problem.
    """
    name = prefix.rstrip("!") or text_of(os.path.basename(path))
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _members(archive, ref, prefix, ignored, nested=False)
    except OSError as error:
        yield Found(name, ref, "", problem=_as_image_error(error))
    except _DAMAGED as error:
        yield _damaged(path, name, ref, error)


def _members(
    archive: zipfile.ZipFile, ref: str, prefix: str, ignored: Counter[str], *, nested: bool
) -> Iterator[Found]:
    start = prefix if prefix.endswith("!") or not prefix else f"{prefix}/"
    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    for name in sorted(members, key=lambda name: name.encode("utf-8", "surrogateescape")):
        info = members[name]
        if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            continue
        member_ref = f"{ref}!{encode_name(name)}"
        suffix = os.path.splitext(name)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            yield Found(start + text_of(name), member_ref, "", info.file_size, info.CRC)
        elif suffix == _ZIP and not nested:
            inner_name = start + text_of(name)
            try:
                with archive.open(info) as file, zipfile.ZipFile(file) as inner:
                    yield from _members(inner, member_ref, f"{inner_name}!", ignored, nested=True)
            except _DAMAGED as error:
                problem = ImageError("archive_damaged", str(error) or repr(error))
                yield Found(inner_name, member_ref, "", info.file_size, info.CRC, problem)
        else:
            ignored[suffix] += 1


def text_of(name: str) -> str:
    """A name as text: itself where it is UTF-8, else percent-encoded as in refs."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return encode_name(name)
    return name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: its row will say so


def _damaged(path: str, object_id: str, ref: str, error: Exception) -> Found:
    size, stamp, _ = Found(object_id, ref, path).state()
    return Found(
        object_id, ref, "", size, stamp, ImageError("archive_damaged", str(error) or repr(error))
    )


def _as_image_error(error: OSError) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return ImageError("missing", "no such file")
    if isinstance(error, PermissionError):
        return ImageError("permission_denied", "this user may not read it")
    return ImageError("unreadable", error.strerror or str(error))
