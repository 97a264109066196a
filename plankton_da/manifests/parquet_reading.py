"""Parquet files as tables of strings, a column at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from plankton_da.manifests.fingerprint import Fingerprint
from plankton_da.manifests.raw_table import (
    RawTable,
    RowLines,
    doubled_columns,
    failed,
    fill,
    found_among,
)

DAMAGE = (pa.ArrowException, UnicodeDecodeError)
"""what is raised on damaged files, beside OSError"""
_DAMAGED = "is not a whole Parquet file: {}; write it again"


def read_parquet(
    path: Path, wanted: Collection[str] | None, fingerprint: Fingerprint | None
) -> RawTable:
    """As ``reading.read_table``; an OSError is the caller's."""
    raw = RawTable(pd.DataFrame(), RowLines(None, 1))
    try:
        with path.open("rb") as stream:
            file = pa.parquet.ParquetFile(stream)
            names = list(file.schema_arrow.names)
            raw.problems.add(doubled_columns(path, names, None))
            if raw.problems:
                return raw
            raw.names = names
            read = raw.names if fingerprint is not None else found_among(raw.names, wanted)
            columns = _one_by_one(file, read)
            return fill(raw, path, columns, file.metadata.num_rows, wanted, fingerprint)
    except DAMAGE as error:
        return failed(path, "unreadable", _DAMAGED.format(error))


def read_parquet_names(path: Path) -> RawTable:
    """The columns' names alone; an OSError is the caller's."""
    raw = RawTable(pd.DataFrame(), RowLines(None, 1))
    try:
        with path.open("rb") as stream:
            raw.names = list(pa.parquet.read_schema(stream).names)
    except DAMAGE as error:
        return failed(path, "unreadable", _DAMAGED.format(error))
    raw.problems.add(doubled_columns(path, raw.names, None))
    return raw


def _one_by_one(
    file: pa.parquet.ParquetFile, names: Sequence[str]
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Each column, read while the one before it is worked on."""
    with ThreadPoolExecutor(1) as reader:

        def start(name: str) -> Future[pa.ChunkedArray]:
            return reader.submit(lambda: file.read([name]).column(name))

        ahead = [start(name) for name in names[:1]]
        for name, following in zip(names, (*names[1:], None), strict=True):
            column = ahead.pop().result()
            if following is not None:
                ahead.append(start(following))
            yield name, column
