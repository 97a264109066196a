"""Tables of numbers and lists of names out of MATLAB files (level 5: MATLAB 5 to 7).

Read here, because a damaged file crashes the process in scipy's reader. Nothing else that such a
file may hold (structs, objects, functions) is looked at.

Format: MathWorks, MAT-File Format (https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf)
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ManifestError

_MAX_BYTES = 32 * 2**20
_MAX_UNPACKED = 256 * 2**20
_HEADER_BYTES = 128
_MOST_DIMENSIONS = 32  # of an array of numpy's

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"
}  # fmt: skip
_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELLS, _LETTERS = 1, 4  # classes of matrices
_NUMERIC = range(6, 16)

Value = NDArray[np.float64] | list[str]


class _DamagedError(Exception):
    pass


@dataclass(frozen=True)
class _Matrix:
    kind: int
    shape: tuple[int, ...]
    name: str
    parts: list[tuple[int, bytes]]


def read_mat(path: Path, names: Collection[str]) -> dict[str, Value]:
    """The variables of these names, of those that are there.

    A matrix of numbers becomes an array of its shape, a cell array of words a list ('' for a cell
    that is no word); of other kinds of variables nothing is returned.

    Raises
    ------
    ManifestError
        The file cannot be read, is too large or damaged, or is no MATLAB file of level 5.
    """
    raw = _read(path)
    if raw[:10] == b"MATLAB 7.3" or raw[1:4] == b"HDF":
        raise ManifestError(
            f"{path}: saved as MATLAB 7.3, which is not read; save it again with -v7"
        )
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    if order is None:
        raise ManifestError(f"{path}: no MATLAB file of level 5 (MATLAB 5 to 7)")
    found: dict[str, Value] = {}
    try:
        for element in _matrices(raw, order):
            matrix = _matrix(element, order)
            value = _value(matrix, order) if matrix.name in names else None
            if value is not None:
                found[matrix.name] = value
    except (_DamagedError, zlib.error) as error:
        raise ManifestError(f"{path}: a damaged .mat file: {error}") from None
    return found


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ManifestError(f"{path}: more than {_MAX_BYTES:,} bytes; no labels are that long")
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from error


def _matrices(raw: bytes, order: str) -> Iterator[bytes]:
    unpacked = 0
    for kind, data in _elements(raw, order, _HEADER_BYTES):
        if kind == _COMPRESSED:
            whole = zlib.decompressobj().decompress(data, _MAX_UNPACKED - unpacked + 1)
            unpacked += len(whole)
            if unpacked > _MAX_UNPACKED:
                raise _DamagedError(f"more than {_MAX_UNPACKED:,} bytes once unpacked")
            yield from (each for inner, each in _elements(whole, order) if inner == _MATRIX)
        elif kind == _MATRIX:
            yield data


def _elements(raw: bytes, order: str, at: int = 0) -> Iterator[tuple[int, bytes]]:
    while at < len(raw):
        if at + 8 > len(raw):
            raise _DamagedError(f"it ends within a tag, after {len(raw):,} bytes")
        kind, size = struct.unpack_from(f"{order}II", raw, at)
        start = at + 8
        if kind >> 16:  # a small element has its size and its data within the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise _DamagedError(f"a small element of {size} bytes")
        if start + size > len(raw):
            raise _DamagedError(f"it ends early, after {len(raw):,} bytes")
        yield kind, raw[start : start + size]
        end = start + size
        at = end if kind == _COMPRESSED else at + 8 * math.ceil((end - at) / 8)


def _matrix(raw: bytes, order: str) -> _Matrix:
    parts = list(_elements(raw, order))
    if len(parts) < 3:
        return _Matrix(0, (), "", [])  # an empty cell
    (_, flags), (_, sizes), (_, name), *data = parts
    if len(flags) < 4 or len(sizes) % 4:
        raise _DamagedError("a matrix without kind or size")
    (kind,) = struct.unpack_from(f"{order}I", flags)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    return _Matrix(kind & 0xFF, shape, name.decode("latin-1"), data)


def _value(matrix: _Matrix, order: str) -> Value | None:
    if matrix.kind in _NUMERIC:
        return _numbers(matrix, order)
    if matrix.kind == _CELLS:
        cells = (_matrix(data, order) for kind, data in matrix.parts if kind == _MATRIX)
        return [_word(cell, order) if cell.kind == _LETTERS else "" for cell in cells]
    return None


def _numbers(matrix: _Matrix, order: str) -> NDArray[np.float64]:
    kind, data = matrix.parts[0] if matrix.parts else (9, b"")
    code = _NUMBERS.get(kind)
    if code is None or len(data) % int(code[1]):
        raise _DamagedError(f"{matrix.name} holds no numbers")
    values = np.frombuffer(data, np.dtype(f"{order}{code}")).astype(np.float64)
    if len(matrix.shape) > _MOST_DIMENSIONS:
        raise _DamagedError(f"{matrix.name} has {len(matrix.shape)} dimensions")
    if any(size < 0 for size in matrix.shape) or math.prod(matrix.shape) != len(values):
        raise _DamagedError(f"{matrix.name} has {len(values)} numbers, not {matrix.shape}")
    return values.reshape(matrix.shape, order="F")


def _word(cell: _Matrix, order: str) -> str:
    kind, data = cell.parts[0] if cell.parts else (16, b"")
    encoding = _ENCODINGS.get(kind)
    if encoding is None:
        raise _DamagedError(f"letters of an unknown kind {kind}")
    ends = {"<": "-le", ">": "-be"}[order] if encoding[-2:] in ("16", "32") else ""
    return data.decode(encoding + ends, "replace")
