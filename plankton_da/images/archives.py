"""Members of zip archives, and of zip archives inside zip archives.

Opened archives are kept, because reading the table of contents of one with 100,000 members takes
longer than decoding a thousand of its images.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import IO

from plankton_da.errors import ImageError

MAX_MEMBER_BYTES = 512 * 2**20
"""uncompressed size of one image: 100 megapixel in RGB, and a margin"""
MAX_NESTED_BYTES = 64 * 2**30
"""uncompressed size of a zip in a zip, which is unpacked to a temporary file"""
_KEPT_OPEN = 4

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)

_Key = tuple[int, str, int, int, tuple[str, ...]]
_open: OrderedDict[_Key, zipfile.ZipFile] = OrderedDict()
_lock = threading.Lock()


def read_member(path: Path, members: tuple[str, ...]) -> bytes:
    """The bytes of ``members[-1]``; the members before it are zips, each inside the previous.

    Raises:
        ImageError: missing, archive_damaged, too_large, permission_denied.
    """
    archive = _archive(path, members[:-1])
    info = _find(archive, members[-1])
    if info.file_size > MAX_MEMBER_BYTES:
        raise ImageError(
            "too_large", f"{info.file_size:,} bytes unpacked; at most {MAX_MEMBER_BYTES:,} are read"
        )
    try:
        with archive.open(info) as file:
            return file.read(MAX_MEMBER_BYTES)
    except _DAMAGE as error:
        raise ImageError("archive_damaged", f"{members[-1]} in {path.name}: {error}") from error


def _archive(path: Path, inner: tuple[str, ...]) -> zipfile.ZipFile:
    found = path.stat()
    # the process id, because a forked process shares the file's read position with its parent
    key = (os.getpid(), str(path), found.st_size, found.st_mtime_ns, inner)
    with _lock:
        if key in _open:
            _open.move_to_end(key)
            return _open[key]
    if inner:
        unpacked = _unpack(_archive(path, inner[:-1]), inner[-1])
        opened = _open_zip(unpacked, path, inner)
        weakref.finalize(opened, unpacked.close)
    else:
        opened = _open_zip(path, path, inner)
    with _lock:
        _open[key] = opened
        while len(_open) > _KEPT_OPEN:
            _open.popitem(last=False)  # closes itself when its last reader lets go of it
    return opened


def _open_zip(source: Path | IO[bytes], path: Path, inner: tuple[str, ...]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except _DAMAGE as error:
        if not isinstance(source, Path):
            source.close()
        name = "!".join((path.name, *inner))
        raise ImageError("archive_damaged", f"{name} is not a readable zip: {error}") from error


def _find(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(member)
    except KeyError:
        raise ImageError("missing", f"the archive has no member {member}") from None


def _unpack(outer: zipfile.ZipFile, member: str) -> IO[bytes]:
    info = _find(outer, member)
    if info.file_size > MAX_NESTED_BYTES:
        raise ImageError(
            "too_large", f"{member} has {info.file_size:,} bytes; at most {MAX_NESTED_BYTES:,}"
        )
    unpacked = tempfile.TemporaryFile(prefix="plankton_da_")  # noqa: SIM115  # outlives this block
    try:
        with outer.open(info) as file:
            shutil.copyfileobj(file, unpacked, 2**20)
    except _DAMAGE as error:
        unpacked.close()
        raise ImageError("archive_damaged", f"{member}: {error}") from error
    unpacked.seek(0)
    return unpacked
