"""Rows of a manifest to be, kept in Arrow memory."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from plankton_da.manifests.columns import TEXT

_ROWS_AT_ONCE = 1 << 17


class Rows:
    """Collects rows of strings; ten million of them are no Python objects for long."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._parts: list[pa.Table] = []
        self._waiting: list[Sequence[str]] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts)) + len(self._waiting)

    def add(self, row: Sequence[str]) -> None:
        """A row, with a value for each column."""
        self._waiting.append(row)
        if len(self._waiting) == _ROWS_AT_ONCE:
            self._pack()

    def plain(self) -> pd.DataFrame:
        """All rows."""
        return _as_frame(self._packed())

    def table(self, instrument: str, keep: Sequence[str] = ()) -> pd.DataFrame:
        """All rows, with the column ``instrument`` behind the first two.

        Columns that are empty in every row are left out, but for those of ``keep``.
        """
        table = self._packed()
        for name in self.columns[2:]:
            if name not in keep and not pc.any(pc.not_equal(table[name], "")).as_py():
                table = table.drop_columns([name])
        names = pa.repeat(pa.scalar(instrument, pa.large_string()), len(table))
        return _as_frame(table.add_column(2, "instrument", names))

    def _packed(self) -> pa.Table:
        self._pack()
        return pa.concat_tables(self._parts).combine_chunks()

    def _pack(self) -> None:
        values = list(zip(*self._waiting, strict=True)) or [()] * len(self.columns)
        columns = [pa.array(each, pa.large_string()) for each in values]
        self._parts.append(pa.table(columns, names=list(self.columns)))
        self._waiting = []


def _as_frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.large_string(): TEXT}.get)
    return frame
