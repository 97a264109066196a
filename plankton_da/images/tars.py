"""Tar archives, read in place.

A tar has no table of contents: it is made once, by going from header to header, and kept.
"""

from __future__ import annotations

import posixpath
import tarfile
import threading
from collections.abc import Iterator
from typing import IO, NamedTuple

from plankton_da.errors import ImageError
from plankton_da.images.members import Member, check_size

_BLOCK = 512  # bytes
_CHUNK = 2**20
_LINKS = 10


class _Place(NamedTuple):
    start: int
    size: int
    mtime_ns: int


class Tar:
    """An uncompressed tar: ustar, GNU or pax."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._links: dict[str, str] = {}
        self._length = file.seek(0, 2)
        self.damage = self._scan()
        if self.damage and not self._places:
            raise ImageError("archive_damaged", f"no readable tar: {self.damage}")

    def _scan(self) -> str:
        """Find all members; says what is wrong."""
        damage = problem = ""
        expected = 0
        self._file.seek(0)
        # zeros are the end of one tar; more may follow, and so it is after a damaged header
        try:
            archive = tarfile.TarFile(fileobj=self._file, ignore_zeros=True, errorlevel=0)
            while (info := archive.next()) is not None:
                # of millions of members none is kept
                archive.members.clear()  # type: ignore[attr-defined]  # not in the standard stub
                if info.offset != expected and not self._is_zero(expected):
                    damage = damage or f"there is no header at byte {expected:,}"
                blocks = -(-info.size // _BLOCK) if info.isreg() else 0
                expected = info.offset_data + blocks * _BLOCK
                self._add(info)
        except (tarfile.TarError, ValueError, EOFError) as error:
            problem = str(error)
        if expected < self._length and not self._is_zero(expected):
            damage = damage or f"there is no header at byte {expected:,}"
        if expected > self._length:
            damage = damage or f"it ends early, after {self._length:,} bytes"
        return damage or problem

    def _add(self, info: tarfile.TarInfo) -> None:
        info.name = info.name.removeprefix("./")  # what `tar cf a.tar .` writes
        if info.isreg() and not info.issparse():
            place = _Place(info.offset_data, info.size, int(info.mtime * 1_000_000_000))
            self._places[info.name] = place
            self._links.pop(info.name, None)
        elif info.islnk():
            self._links[info.name] = info.linkname.removeprefix("./")
        elif info.issym():
            target = posixpath.join(posixpath.dirname(info.name), info.linkname)
            self._links[info.name] = posixpath.normpath(target)

    def _is_zero(self, start: int) -> bool:
        here = self._file.tell()
        self._file.seek(start)
        block = self._file.read(_BLOCK)
        self._file.seek(here)
        return not block.strip(b"\0")

    def members(self) -> Iterator[Member]:
        """Every file in it; of several with one name the last."""
        for name in [*self._places, *self._links]:
            place = self._find(name)
            yield Member(name, place.size, place.mtime_ns) if place else Member(name, -1, -1)

    def read(self, name: str) -> bytes:
        """A member's bytes (``KeyError`` where there is none)."""
        place = self._find(name)
        if place is None:
            raise KeyError(name)
        check_size(place.size)
        if place.start + place.size > self._length:
            raise EOFError(f"the archive ends early, after {self._length:,} bytes")
        with self._lock:
            self._file.seek(place.start)
            return self._file.read(place.size)

    def sizes(self, name: str) -> tuple[int, int]:
        """Bytes of a member, twice."""
        place = self._find(name)
        if place is None:
            raise KeyError(name)
        return place.size, place.size

    def unpack(self, name: str, target: IO[bytes]) -> None:
        """Copy a member's bytes."""
        place = self._find(name)
        if place is None:
            raise KeyError(name)
        left = place.size
        with self._lock:
            self._file.seek(place.start)
            while left and (chunk := self._file.read(min(left, _CHUNK))):
                target.write(chunk)
                left -= len(chunk)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _find(self, name: str) -> _Place | None:
        name = name.removeprefix("./")
        for _ in range(_LINKS):
            if name in self._places:
                return self._places[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None
