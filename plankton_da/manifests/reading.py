"""CSV and Parquet files as tables of strings, with every problem of the file itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd
import pyarrow as pa

from plankton_da.manifests.columns import joined
from plankton_da.manifests.csv_reading import read_csv, read_csv_names
from plankton_da.manifests.fingerprint import Fingerprint
from plankton_da.manifests.parquet_reading import read_parquet, read_parquet_names
from plankton_da.manifests.problems import Problems
from plankton_da.manifests.raw_table import RawTable, RowLines, failed, frame_of, texts_of

__all__ = ["SUFFIXES", "RawTable", "RowLines", "as_text", "read_names", "read_table"]

SUFFIXES = (".csv", ".parquet")


def read_table(
    path: Path, columns: Collection[str] | None = None, *, fingerprint: bool = False
) -> RawTable:
    """Columns as strings, '' for empty; what is wrong with the file is in ``problems``.

    Parameters
    ----------
    columns
        those that are kept, where the file has them; None: all
    fingerprint
        also compute the ``fingerprint``; columns that are not kept are then read for it, and let go
        of one by one
    """
    hasher = Fingerprint() if fingerprint else None
    return _read(
        path,
        lambda: read_csv(path, columns, hasher),
        lambda: read_parquet(path, columns, hasher),
    )


def read_names(path: Path) -> RawTable:
    """The columns' names and no rows, at once however long the file is."""
    return _read(path, lambda: read_csv_names(path), lambda: read_parquet_names(path))


def _read(
    path: Path, of_csv: Callable[[], RawTable], of_parquet: Callable[[], RawTable]
) -> RawTable:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        words = f"a table is {' or '.join(SUFFIXES)}; found the suffix {suffix!r}"
        return failed(path, "unknown_format", words)
    try:
        return of_csv() if suffix == ".csv" else of_parquet()
    except FileNotFoundError:
        words = f"no such file; correct the path (a relative one counts from {Path.cwd()})"
        return failed(path, "unreadable", words)
    except OSError as error:
        return failed(path, "unreadable", f"cannot be read: {error.strerror or error}")


def as_text(table: pa.Table, path: Path, problems: Problems) -> pd.DataFrame:
    """Every column cast to strings, nulls to ''; a column that cannot be is a problem."""
    columns = zip(table.column_names, table.columns, strict=True)
    texts = texts_of(columns, path, problems)
    return frame_of({name: joined(text) for name, text in texts}, len(table))
