"""The fingerprint of a manifest: a sha256 of its content, column by column."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from plankton_da.manifests.columns import chunks_of


class Fingerprint:
    """Takes columns in any order; a thread of its own hashes them while others are read."""

    def __init__(self) -> None:
        self._columns: dict[str, Future[bytes]] = {}
        self._thread = ThreadPoolExecutor(1)

    def add(self, name: str, column: pa.ChunkedArray) -> None:
        """A column of large strings without nulls; let go of once it is hashed."""
        self._columns[name] = self._thread.submit(_digest, column)

    def hexdigest(self) -> str:
        """The fingerprint, which is waited for; '' where there is no column."""
        if not self._columns:
            return ""
        digest = hashlib.sha256()
        for name in sorted(self._columns):
            digest.update(name.encode() + b"\0" + self._columns[name].result())
        return digest.hexdigest()


def _digest(column: pa.ChunkedArray) -> bytes:
    of_lengths, of_letters = hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks:
        of_lengths.update(pc.binary_length(chunk).to_numpy())
        of_letters.update(letters(chunk))
    return of_lengths.digest() + of_letters.digest()


def fingerprint_of(table: pd.DataFrame) -> str:
    """sha256 of the content: the same for CSV and Parquet, and for any order of the columns."""
    fingerprint = Fingerprint()
    for name in table.columns:
        fingerprint.add(name, chunks_of(table[name]))
    return fingerprint.hexdigest()


def letters(column: pa.Array) -> memoryview:
    """The UTF-8 bytes of all values, one after the other."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[column.offset :]
    return memoryview(data or b"")[ends[0] : ends[len(column)]]
