"""The columns of a manifest."""

from __future__ import annotations

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


def column_of(table: pd.DataFrame, name: str) -> pd.Series[str]:
    """A column, or '' in every row where the table lacks it."""
    if name in table.columns:
        return table[name]
    return pd.Series("", index=table.index, name=name, dtype=TEXT)


def arrow_of(column: pd.Series[str]) -> pa.Array:
    """A column as one Arrow array of large strings, without a copy where it is one already."""
    array = pa.array(column, type=pa.large_string())
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return pa.chunked_array(chunks, pa.large_string()).combine_chunks()


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

    def is_empty(self) -> NDArray[np.bool_]:
        """Rows (N,) whose value is ''."""
        empty: int = pc.index(self.values, pa.scalar("", self.values.type)).as_py()  # -1: none
        return np.asarray(self.codes == empty)

    def first_rows(self) -> NDArray[np.int64]:
        """For each row (N,) the first row that has the same value."""
        first = np.zeros(len(self.values), dtype=np.int64)
        first[self.codes[::-1]] = np.arange(len(self.codes))[::-1]  # the last assignment stays
        return first[self.codes]


def encode(column: pd.Series[str]) -> Encoded:
    """Distinct values of a column, without a Python object per row."""
    encoded = arrow_of(column).dictionary_encode()
    return Encoded(encoded.indices.to_numpy(), encoded.dictionary)
