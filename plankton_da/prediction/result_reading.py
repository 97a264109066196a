"""A result read again, row by row as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from plankton_da.errors import DataError
from plankton_da.images.refs import rebase


class ResultReader:
    """The rows of a result, one after the other."""

    def __init__(self, path: Path, score_columns: Sequence[str], folder: Path) -> None:
        """Refs come out relative to ``folder``."""
        self._path = path
        self._scores = frozenset(score_columns)
        self._folder = folder
        is_csv = path.suffix.lower() == ".csv"
        self._tables = self._read_csv() if is_csv else self._read_parquet()
        self._rest = next(self._tables)

    def take(self, count: int) -> pa.Table:
        """The next ``count`` rows.

        Raises
        ------
        DataError
            There are not so many.
        """
        tables = [self._rest]
        rows = len(self._rest)
        while rows < count:
            try:
                tables.append(next(self._tables))
            except StopIteration:
                raise DataError(f"{self._path}: holds too few rows; run it again") from None
            rows += len(tables[-1])
        table = pa.concat_tables(tables)
        self._rest = table.slice(count)
        return table.slice(0, count)

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema(
            (name, pa.float32() if name in self._scores else pa.string()) for name in names
        )

    def _read_parquet(self) -> Iterator[pa.Table]:
        with pq.ParquetFile(self._path) as file:
            schema = self._schema(file.schema_arrow.names)
            yield schema.empty_table()
            for group in range(file.num_row_groups):
                yield self._moved(file.read_row_group(group).cast(schema))

    def _read_csv(self) -> Iterator[pa.Table]:
        parsed = pa_csv.ParseOptions(newlines_in_values=True)
        with pa_csv.open_csv(self._path, parse_options=parsed) as batches:
            schema = self._schema(batches.schema.names)
        yield schema.empty_table()
        converted = pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in schema.names},
            strings_can_be_null=False,
            null_values=[],
        )
        with pa_csv.open_csv(
            self._path, parse_options=parsed, convert_options=converted
        ) as batches:
            for batch in batches:
                columns = [_typed(batch[field.name], field.type) for field in schema]
                yield self._moved(pa.table(columns, schema=schema))

    def _moved(self, table: pa.Table) -> pa.Table:
        if self._path.parent == self._folder:
            return table
        refs = [
            rebase(ref, self._path.parent, self._folder)[0] for ref in table["image"].to_pylist()
        ]
        place = table.column_names.index("image")
        return table.set_column(place, "image", pa.array(refs, pa.string()))


def _typed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        return column
    values = np.array(["nan" if text == "" else text for text in column.to_pylist()], dtype=str)
    return pa.array(values.astype(np.float32), from_pandas=True)  # a score that is none is null
