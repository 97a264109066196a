"""Members of zip and tar archives, and of archives inside archives.

Opened archives are kept, because reading the table of contents of one with 100,000 members takes
longer than decoding a thousand of its images.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import IO

from plankton_da.errors import ImageError
from plankton_da.images.members import Archive
from plankton_da.images.tars import Tar
from plankton_da.images.zips import DAMAGE, open_zip

ARCHIVE_SUFFIXES = (".tar", ".zip")
"""in lower case"""
COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
"""in lower case; their members can only be reached by unpacking all before them"""
MAX_NESTED_BYTES = 64 * 2**30
"""uncompressed size of an archive in an archive, which is unpacked to a temporary file"""
_BOMB_BYTES = 2**30
_BOMB_RATIO = 100
"""an archive holds images that are compressed already; beyond both, something else is meant"""
_KEPT_OPEN = 4

_Key = tuple[int, str, int, int, tuple[str, ...]]
_open: OrderedDict[_Key, Archive] = OrderedDict()
_lock = threading.Lock()


def read_member(path: Path, members: tuple[str, ...]) -> bytes:
    """The bytes of ``members[-1]``; those before it are archives, each inside the previous.

    Raises:
        ImageError: missing, archive_damaged, too_large, permission_denied.
    """
    archive = opened_archive(path, members[:-1])
    try:
        return archive.read(members[-1])
    except KeyError:
        raise _no_member(archive, members[-1]) from None
    except DAMAGE as error:
        raise ImageError("archive_damaged", f"{members[-1]} in {path.name}: {error}") from error


def opened_archive(path: Path, inner: tuple[str, ...] = ()) -> Archive:
    """The archive ``path``, or the one inside it that ``inner`` leads to; it closes itself.

    Raises:
        ImageError: missing, archive_damaged, too_large. OSError: the file cannot be opened.
    """
    found = path.stat()
    # the process id, because a forked process shares the file's read position with its parent
    key = (os.getpid(), str(path), found.st_size, found.st_mtime_ns, inner)
    with _lock:
        if key in _open:
            _open.move_to_end(key)
            return _open[key]
    if inner:
        archive = _opened(_unpack(opened_archive(path, inner[:-1]), inner[-1]), inner[-1])
    else:
        archive = _opened(path.open("rb"), path.name)
    with _lock:
        _open[key] = archive
        while len(_open) > _KEPT_OPEN:
            _open.popitem(last=False)  # closes itself when its last reader lets go of it
    return archive


def _opened(file: IO[bytes], name: str) -> Archive:
    try:
        opened = Tar(file) if name.lower().endswith(".tar") else open_zip(file)
    except ImageError as error:
        file.close()
        raise ImageError(error.code, f"{name}: {error.words}") from error
    except BaseException:  # whatever it is, also Ctrl-C: the file is closed and it goes on
        file.close()
        raise
    weakref.finalize(opened, file.close)
    return opened


def _no_member(archive: Archive, member: str) -> ImageError:
    if archive.damage:
        return ImageError("archive_damaged", f"{member} is lost: {archive.damage}")
    return ImageError("missing", f"the archive has no member {member}")


def _unpack(outer: Archive, member: str) -> IO[bytes]:
    try:
        size, packed = outer.sizes(member)
    except KeyError:
        raise _no_member(outer, member) from None
    if size > MAX_NESTED_BYTES or size > max(_BOMB_BYTES, _BOMB_RATIO * packed):
        raise ImageError(
            "too_large",
            f"{member} has {size:,} bytes, packed into {packed:,}; archives in archives may have "
            f"{MAX_NESTED_BYTES:,}, above {_BOMB_BYTES:,} only {_BOMB_RATIO} times what they take",
        )
    unpacked = tempfile.TemporaryFile(prefix="plankton_da_")  # noqa: SIM115  # outlives this block
    try:
        outer.unpack(member, unpacked)
        unpacked.seek(0)
    except DAMAGE as error:
        unpacked.close()
        raise ImageError("archive_damaged", f"{member}: {error}") from error
    except BaseException:  # whatever it is, also Ctrl-C: the file is closed and it goes on
        unpacked.close()
        raise
    return unpacked
