"""Files that appear whole or not at all, and the lock that keeps two processes apart."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from plankton_da.errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends without an exception.

    The data are on the disk before the name is, so that a power loss leaves the old file or the
    new one.

    Raises
    ------
    OutputError
        The folder is not writable or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with explained(path):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` as ``path``, atomically (``OutputError`` where that fails)."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` on writing into an ``OutputError`` that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        words = "no space left" if full else error.strerror or str(error)
        raise OutputError(
            f"{path}: cannot be written: {words}; finished work is kept, the same command "
            f"continues when there is {'space' if full else 'a way to write there'}"
        ) from error


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLock:
    """An exclusive lock that the operating system drops when its process ends, however it ends."""

    def __init__(self, path: Path, what: Path, way_out: str = "give another --out") -> None:
        """``what`` is the result that the lock protects, for the message."""
        self._path = path
        self._what = what
        self._way_out = way_out
        self._file: BinaryIO | None = None

    def acquire(self) -> None:
        """Take the lock, unless it is held already.

        Raises
        ------
        OutputError
            Another process has it, or the file cannot be made.
        """
        if self._file is not None:
            return
        with explained(self._path):
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", 0)
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            holder = _holder(file)
            file.close()
            raise OutputError(
                f"{self._what}: another process is writing it ({holder}); wait for it, or "
                f"{self._way_out}"
            ) from None
        self._file = file  # whose closing ends the lock
        with contextlib.suppress(OSError):  # the holder's name is a courtesy; a disk may be full
            file.seek(1)
            file.truncate()
            file.write(f"{socket.gethostname()}, process {os.getpid()}".encode())

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # the first byte; the rest is readable
else:

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(file: BinaryIO) -> str:
    file.seek(1)
    return file.read(200).decode("utf-8", "replace").strip() or "it does not say which"
