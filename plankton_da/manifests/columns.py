"""The columns of a manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

REQUIRED = ("object_id", "image", "instrument")
OPTIONAL = ("label", "split", "group", "pixel_size_um", "licence")
SPLITS = ("train", "val", "test")
TEXT = pd.StringDtype("pyarrow", na_value=np.nan)
_MOST_COUNTERS = 1 << 22  # more than this many are slower than sorting


def column_of(table: pd.DataFrame, name: str) -> pd.Series[str]:
    """A column, or '' in every row where the table lacks it."""
    if name in table.columns:
        return table[name]
    return pd.Series("", index=table.index, name=name, dtype=TEXT)


def arrow_of(column: pd.Series[str]) -> pa.Array:
    """A column as one Arrow array of large strings, without a copy where it is one already."""
    return joined(chunks_of(column))


def chunks_of(column: pd.Series[str]) -> pa.ChunkedArray:
    """A column as Arrow arrays of large strings, without a copy where it is that already."""
    array = pa.array(column, type=pa.large_string())
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def joined(chunks: pa.ChunkedArray) -> pa.Array:
    """One array; no copy of one that is."""
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def pieces(chunks: pa.ChunkedArray, rows: int) -> Iterator[pa.Array]:
    """Arrays of at most so many rows, one after the other, without a copy."""
    for chunk in chunks.chunks:
        for start in range(0, len(chunk), rows):
            yield chunk.slice(start, rows)


@dataclass(frozen=True)
class Encoded:
    """A column as codes (N,) into its distinct values, which stand in order of appearance."""

    codes: NDArray[np.int32]
    values: pa.Array

    def of_rows(self, rows: NDArray[np.intp]) -> Encoded:
        """Some of the rows; the values stay, also those that none of them has."""
        return Encoded(self.codes[rows], self.values)

    def value(self, row: int) -> str:
        """The value in a row."""
        return str(self.values[int(self.codes[row])].as_py())

    @property
    def empty(self) -> int:
        """The code of ''; -1 where it is none of the values."""
        return int(pc.index(self.values, pa.scalar("", self.values.type)).as_py())

    def is_empty(self) -> NDArray[np.bool_]:
        """Rows (N,) whose value is ''."""
        return np.asarray(self.codes == self.empty)

    def first_rows(self) -> NDArray[np.int64]:
        """For each row (N,) the first row that has the same value."""
        first = np.zeros(len(self.values), dtype=np.int64)
        first[self.codes[::-1]] = np.arange(len(self.codes))[::-1]  # the last assignment stays
        return first[self.codes]


def encode(column: pd.Series[str]) -> Encoded:
    """Distinct values of a column, without a Python object per row."""
    encoded = joined(chunks_of(column).dictionary_encode().unify_dictionaries())
    return Encoded(encoded.indices.to_numpy(), encoded.dictionary)


class EncodedTable:
    """Columns of a table, encoded when they are first asked for; one that it lacks is all ''."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self._encoded: dict[str, Encoded] = {}

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, name: str) -> bool:
        return name in self._table.columns

    def __getitem__(self, name: str) -> Encoded:
        if name not in self._encoded:
            if name in self:
                self._encoded[name] = encode(self._table[name])
            else:
                nothing = np.zeros(len(self), np.int32)
                self._encoded[name] = Encoded(nothing, pa.array([""], pa.large_string()))
        return self._encoded[name]


def combinations(*columns: Encoded) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Combinations of values that occur: each column's codes (G,), and how many rows (G,)."""
    widths = [max(len(column.values), 1) for column in columns]
    keys = np.zeros(len(columns[0].codes), np.int64)
    for column, width in zip(columns, widths, strict=True):
        keys *= width
        keys += column.codes
    if math.prod(widths) <= _MOST_COUNTERS:
        counts = np.bincount(keys)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, counts = np.unique(keys, return_counts=True)
    codes = []
    for width in reversed(widths):
        found, code = np.divmod(found, width)
        codes.append(code)
    return codes[::-1], counts
