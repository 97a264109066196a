"""Zip archives, also those that lost their table of contents.

A zip keeps that table at its end, where a broken copy loses it first; each member has a header of
its own in front of its data as well, so the members that are whole can still be found.
Layout: APPNOTE.TXT 6.3.10 (PKWARE), sections 4.3.7 and 4.3.9.
"""

from __future__ import annotations

import re
import shutil
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from plankton_da.errors import ImageError
from plankton_da.images.members import MAX_MEMBER_BYTES, Member, check_size

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)
"""what is raised on damaged, encrypted or unsupported archives"""

_HEADER = struct.Struct("<4s5H3I2H")
_MAGIC = b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8
_ZIP64 = 0xFFFFFFFF
"""the size stands elsewhere"""
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 0x1, 0x8, 0x800
_END_BYTES = 22
"""of the record at the end, without its comment"""
_CHUNK = 2**20


class Zip:
    """A sound zip (its members may be damaged)."""

    damage = ""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file)
        self._length = file.seek(0, 2)
        if self._is_inner():
            raise zipfile.BadZipFile("the table of contents at its end is an inner archive's")

    def _is_inner(self) -> bool:
        """Whether a cut archive was taken for one that is stored inside it."""
        self._file.seek(max(0, self._length - _END_BYTES - len(self._zip.comment)))
        ends_here = self._file.read(4) == b"PK\x05\x06"
        offsets = [info.header_offset for info in self._zip.infolist()]
        return not ends_here and min(offsets, default=0) > 0

    def members(self) -> Iterator[Member]:
        """Every file in it; of several with one name the last."""
        latest = {info.filename: info for info in self._zip.infolist()}
        for name, info in latest.items():
            if name and not name.endswith("/"):
                yield Member(name, info.file_size, info.CRC)

    def read(self, name: str) -> bytes:
        """A member's bytes (``KeyError`` where there is none)."""
        info = self._zip.getinfo(name)
        check_size(info.file_size)
        with self._opened(info) as file:
            return file.read(MAX_MEMBER_BYTES)

    def sizes(self, name: str) -> tuple[int, int]:
        """Bytes of a member, and the bytes that it takes here."""
        info = self._zip.getinfo(name)
        return info.file_size, info.compress_size

    def unpack(self, name: str, target: IO[bytes]) -> None:
        """Copy a member's bytes."""
        with self._opened(self._zip.getinfo(name)) as file:
            shutil.copyfileobj(file, target, _CHUNK)

    def _opened(self, info: zipfile.ZipInfo) -> IO[bytes]:
        if not 0 <= info.header_offset < self._length:  # which no file system may know
            raise zipfile.BadZipFile(f"{info.filename} is said to be beyond the archive's end")
        return self._zip.open(info)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()


class _Place(NamedTuple):
    start: int
    method: int
    packed: int
    """bytes; -1 where the header does not say"""
    size: int
    crc: int


class DamagedZip:
    """A zip without its table of contents: the members that are whole, found by their headers."""

    def __init__(self, file: IO[bytes], problem: Exception) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._places = dict(_find_places(file))
        self.damage = (
            f"{problem}; {len(self._places):,} whole members were found without its table of "
            f"contents, others are lost"
        )

    def members(self) -> Iterator[Member]:
        """Every file that is whole."""
        for name, place in self._places.items():
            yield Member(name, place.size, place.crc)

    def read(self, name: str) -> bytes:
        """A member's bytes (``KeyError`` where there is none)."""
        place = self._places[name]
        check_size(place.size)
        with self._lock:
            self._file.seek(place.start)
            packed = self._file.read(place.packed)
        if place.method == _STORED:
            return packed
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, place.size or 1)

    def sizes(self, name: str) -> tuple[int, int]:
        """Bytes of a member, and the bytes that it takes here."""
        return self._places[name].size, self._places[name].packed

    def unpack(self, name: str, target: IO[bytes]) -> None:
        """Copy a member's bytes."""
        target.write(self.read(name))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_zip(file: IO[bytes]) -> Zip | DamagedZip:
    """A zip as it is, or what is left of it.

    Raises:
        ImageError: archive_damaged, where nothing is left.
    """
    try:
        return Zip(file)
    except DAMAGE as error:
        left = DamagedZip(file, error)
        if not any(left.members()):
            raise ImageError("archive_damaged", f"no readable zip: {error}") from error
        return left


def _find_places(file: IO[bytes]) -> Iterator[tuple[str, _Place]]:
    """Name and place of each member whose data are whole."""
    start = _next_magic(file, 0)
    while start is not None:
        file.seek(start)
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return
        _, _, flags, method, _, _, crc, packed, size, name_bytes, extra = _HEADER.unpack(head)
        raw = file.read(name_bytes)
        data = start + _HEADER.size + name_bytes + extra
        place = None
        if len(raw) == name_bytes and not flags & _ENCRYPTED and method in (_STORED, _DEFLATED):
            unknown = flags & _SIZES_FOLLOW or packed == _ZIP64
            told = None if unknown else (packed, size)
            place = _verified(file, data, method, told, None if flags & _SIZES_FOLLOW else crc)
        if place is None:
            start = _next_magic(file, start + len(_MAGIC))
            continue
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        if not name.endswith("/"):
            yield name, place
        start = _next_magic(file, data + place.packed)


def _verified(
    file: IO[bytes], start: int, method: int, told: tuple[int, int] | None, told_crc: int | None
) -> _Place | None:
    """The place of a member whose CRC is right; None for all others.

    ``told``: packed size and size, and ``told_crc``, are None where they do not stand in front of
    the data (deflated ones know their own end, stored ones do not).
    """
    file.seek(start)
    left = told[0] if told else -1
    if told is None and method == _STORED:
        return None
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    crc = size = packed = 0
    ended = method == _STORED
    while left != 0:
        chunk = file.read(_CHUNK if left < 0 else min(_CHUNK, left))
        if not chunk:
            break
        left -= len(chunk) if left > 0 else 0
        packed += len(chunk)
        while chunk:
            try:
                data = chunk if method == _STORED else unpacker.decompress(chunk, _CHUNK)
            except zlib.error:
                return None
            chunk = b"" if method == _STORED else unpacker.unconsumed_tail
            crc, size = zlib.crc32(data, crc), size + len(data)
            if size > MAX_MEMBER_BYTES:
                return None
        if unpacker.eof:
            ended = True
            packed -= len(unpacker.unused_data)
            break
    if told_crc is None:
        file.seek(start + packed)
        told_crc = int.from_bytes(file.read(8).removeprefix(b"PK\x07\x08")[:4], "little")
    if not ended or crc != told_crc or (told is not None and told != (packed, size)):
        return None
    return _Place(start, method, packed, size, crc)


def _next_magic(file: IO[bytes], start: int) -> int | None:
    """Where the next header begins, from ``start`` on."""
    file.seek(start)
    kept = b""
    while chunk := file.read(_CHUNK):
        window = kept + chunk
        if found := re.search(re.escape(_MAGIC), window):
            return start + found.start()
        kept = window[-(len(_MAGIC) - 1) :]
        start += len(window) - len(kept)
    return None
