"""Whether a value stands in a column twice: for ten million rows by their hashes alone.

A table of all values, as ``encode`` makes one, takes ten times as long and as much memory as the
column itself.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.manifests.columns import chunks_of, encode, pieces
from plankton_da.manifests.fingerprint import letters
from plankton_da.manifests.numbered import number_marks

_BYTES_AT_ONCE = 1 << 18  # they fit a processor's cache
_ROWS_AT_ONCE = 1 << 16
_MOST_SHAPES = 16  # of values in a piece; where there are more, hashing is faster
_LONG = 256  # bytes; longer texts are hashed one by one
_FACTORS = np.random.default_rng(0).integers(0, 2**64, _LONG // 8 + 2, np.uint64) | np.uint64(1)
_MASKS = np.frombuffer(b"".join(b"\xff" * n + bytes(8 - n) for n in range(9)), np.uint64)
"""of the first 0 to 8 bytes of a word"""


def has_repetitions(column: pd.Series[str]) -> bool:
    """True if two rows of the column have the same value."""
    values = chunks_of(column)
    if _are_increasing(values):
        return False
    hashes = _hashes(values)
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return False
    encoded = encode(column)  # two values may have one hash
    return len(encoded.values) < len(encoded.codes)


def _are_increasing(values: pa.ChunkedArray) -> bool:
    """Whether each value is greater than the one before it of the same shape, as in listings.

    The shape is the length and where a '#' stands: equal values have the same, and numbers after it
    have no leading zeros (``a.roi#9``, ``a.roi#10``).
    """
    last: dict[int, pa.Array] = {}
    for piece in pieces(values, _ROWS_AT_ONCE):
        shapes = pc.binary_length(piece).to_numpy().astype(np.int64) << 32
        if (np.frombuffer(letters(piece), np.uint8) == ord("#")).any():
            marks = number_marks(piece)
            if marks is None:
                return False
            shapes += marks[1] - marks[0]
        distinct = pd.unique(shapes).tolist()
        if len(distinct) > _MOST_SHAPES:
            return False
        for shape in distinct:
            alike = piece if len(distinct) == 1 else piece.filter(pa.array(shapes == shape))
            before, after = alike.slice(0, len(alike) - 1), alike.slice(1)
            if shape in last:
                before, after = pa.concat_arrays([last[shape], before]), alike
            if not pc.all(pc.less(before, after), min_count=0).as_py():
                return False
            last[shape] = alike.slice(len(alike) - 1)
    return True


def _hashes(values: pa.ChunkedArray) -> NDArray[np.uint64]:
    """A number (N,) for each text."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(_hash, pieces(values, _ROWS_AT_ONCE)))
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _hash(values: pa.Array) -> NDArray[np.uint64]:
    """The same of some texts: each word of eight bytes is mixed, and all are added.

    Words are as many as the text needs; bytes of the next text in the last of them are taken out.
    """
    found = np.empty(len(values), np.uint64)
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    letters = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    near = np.zeros(_BYTES_AT_ONCE + _LONG + 8, np.uint8)
    words = np.ndarray(len(near) - 7, np.uint64, near, strides=(1,))  # at every byte
    row = 0
    while row < len(values):
        stop = int(np.searchsorted(ends, ends[row] + _BYTES_AT_ONCE, side="right")) - 1
        stop = max(stop, row + 1)
        here = letters[ends[row] : ends[stop]][: len(near)]
        near[: len(here)] = here
        starts = ends[row:stop] - ends[row]
        lengths = ends[row + 1 : stop + 1] - ends[row:stop]
        sums = lengths.astype(np.uint64) * _FACTORS[-1]
        short = np.minimum(lengths, _LONG)
        whole = int(short.min()) // 8
        for number in range(-(-int(short.max()) // 8)):
            word = words[starts + 8 * number]
            if number >= whole:
                word &= _MASKS[np.clip(short - 8 * number, 0, 8)]
            word ^= word >> np.uint64(32)
            word *= _FACTORS[0]
            word ^= word >> np.uint64(32)
            word *= _FACTORS[number + 1]
            sums += word
        found[row:stop] = sums
        for long in np.flatnonzero(lengths > _LONG).tolist():
            text = letters[ends[row + long] : ends[row + long + 1]].tobytes()
            found[row + long] = hash(text) & (2**64 - 1)
        row = stop
    return found
