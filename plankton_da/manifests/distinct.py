"""Whether a value stands in a column twice: for ten million rows by their hashes alone.

A table of all values, as ``encode`` makes one, takes ten times as long and as much memory as the
column itself.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from plankton_da.manifests.columns import arrow_of, encode

_BYTES_AT_ONCE = 1 << 16  # their weights fit a processor's cache
_WORTH_A_THREAD = 100_000  # rows
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse


def has_repetitions(column: pd.Series[str]) -> bool:
    """True if two rows of the column have the same value."""
    hashes = _hashes(arrow_of(column))
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return False
    encoded = encode(column)  # two values may have one hash
    return len(encoded.values) < len(encoded.codes)


def _hashes(values: pa.Array) -> NDArray[np.uint64]:
    """A number (N,) for each text: the sum of ``letter[i] * base**i`` modulo 2**64."""
    found = np.empty(len(values), np.uint64)
    threads = max(min(os.cpu_count() or 1, len(values) // _WORTH_A_THREAD), 1)
    bounds = np.linspace(0, len(values), threads + 1, dtype=np.int64).tolist()
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(_hash, values[first:stop], found[first:stop])
            for first, stop in itertools.pairwise(bounds)
        ]
    for part in parts:
        part.result()
    return found


def _hash(values: pa.Array, found: NDArray[np.uint64]) -> None:
    """Fill ``found``, many texts at a time.

    From the running sum over their joined bytes, in which the part of the text that begins at byte
    ``s`` is too large by the factor ``base**s``.
    """
    if not len(values):
        return
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    letters = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    numbers, powers, inverses = _tables()
    sums = np.zeros(_BYTES_AT_ONCE + 1, np.uint64)
    row = 0
    while row < len(values):
        stop = int(np.searchsorted(ends, ends[row] + _BYTES_AT_ONCE, side="right")) - 1
        if stop == row:  # one text of many bytes
            text = letters[ends[row] : ends[row + 1]].tobytes()
            found[row] = np.uint64(hash(text) & (2**64 - 1))
            row += 1
            continue
        starts = ends[row : stop + 1] - ends[row]
        length = int(starts[-1])
        terms = numbers[letters[ends[row] : ends[stop]]]
        terms *= powers[:length]
        np.cumsum(terms, out=sums[1 : length + 1])
        at = sums[starts]
        found[row:stop] = (at[1:] - at[:-1]) * inverses[starts[:-1]]
        row = stop


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """A random number for each byte, and the powers of the base and of its inverse modulo 2**64."""
    numbers = np.random.default_rng(0).integers(0, 2**64, 256, dtype=np.uint64)
    return numbers, _powers(_BASE), _powers(pow(_BASE, -1, 2**64))


def _powers(base: int) -> NDArray[np.uint64]:
    factors = np.full(_BYTES_AT_ONCE + 1, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)
