"""CSV and Parquet files as tables of strings, with every problem of the file itself.

Values stay in Arrow memory from file to table: ten million rows make no Python objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.csv_faults import (
    record_lines,
    records,
    unclosed_quote,
    undecodable,
    wrong_widths,
)
from plankton_da.manifests.problems import Problem, Problems

SUFFIXES = (".csv", ".parquet")
_CHUNK = 1 << 23  # bytes


class RowLines:
    """Where the rows of a table stand in its file; found only when somebody asks."""

    def __init__(self, find: Callable[[], NDArray[np.int64]] | None, first: int) -> None:
        self._find = find
        self._first = first
        self._lines: NDArray[np.int64] | None = None

    def of(self, row: int) -> int:
        """The line (CSV) or row number (Parquet) of the table's row, itself counted from 0."""
        if self._find is None:
            return row + self._first
        if self._lines is None:
            self._lines = self._find()
        return int(self._lines[min(row, len(self._lines) - 1)])


@dataclass
class RawTable:
    """A file's content before its values are checked; without columns if it cannot be parsed."""

    table: pd.DataFrame
    lines: RowLines
    problems: Problems = field(default_factory=Problems)


def read_table(path: Path) -> RawTable:
    """All columns as strings, '' for empty; what is wrong with the file is in ``problems``."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        words = f"a table is {' or '.join(SUFFIXES)}; found the suffix {suffix!r}"
        return _failed(path, "unknown_format", words)
    try:
        return _read_csv(path) if suffix == ".csv" else _read_parquet(path)
    except FileNotFoundError:
        words = f"no such file; correct the path (a relative one counts from {Path.cwd()})"
        return _failed(path, "unreadable", words)
    except OSError as error:
        return _failed(path, "unreadable", f"cannot be read: {error.strerror or error}")


def as_text(table: pa.Table, path: Path, problems: Problems) -> pd.DataFrame:
    """Every column cast to strings, nulls to ''; a column that cannot be is a problem."""
    columns: dict[str, pa.Array] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            if pa.types.is_floating(column.type):
                column = pc.if_else(pc.is_nan(column), None, column)
            text = column.cast(pa.large_string()).fill_null("").combine_chunks()
            text.validate(full=True)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            words = f"holds {column.type}, which is not text: {error}; store it as UTF-8 strings"
            problems.add([Problem(str(path), None, name, "not_text", words)])
        else:
            columns[name] = text
    frame = pa.table(columns).to_pandas(types_mapper={pa.large_string(): TEXT}.get)
    return frame if isinstance(frame, pd.DataFrame) else pd.DataFrame()


def _failed(path: Path, code: str, words: str) -> RawTable:
    raw = RawTable(pd.DataFrame(), RowLines(None, 1))
    raw.problems.add([Problem(str(path), None, None, code, words)])
    return raw


def _read_parquet(path: Path) -> RawTable:
    try:
        with path.open("rb") as stream:
            table = pa.parquet.read_table(stream)
    except pa.ArrowException as error:
        words = f"is not a whole Parquet file: {error}; write it again"
        return _failed(path, "unreadable", words)
    raw = RawTable(pd.DataFrame(), RowLines(None, 1))
    raw.problems.add(_doubled_columns(path, table.column_names, None))
    if not raw.problems:
        raw.table = as_text(table, path, raw.problems)
    return raw


def _read_csv(path: Path) -> RawTable:
    line_count, quotes = _survey(path)
    raw = RawTable(pd.DataFrame(), RowLines(None, 2))
    try:
        header = next(records(path), (1, 1, []))[2]
    except UnicodeDecodeError:
        raw.problems.extend(undecodable(path))
        return raw
    raw.problems.add(_wrong_separator(path, header))
    raw.problems.add(_doubled_columns(path, header, 1))
    if raw.problems:
        return raw
    if not header:
        return _failed(path, "empty", "is empty: no header and no rows")
    if quotes % 2:  # Arrow takes all that follows an unclosed quote as one value, silently
        raw.problems.add(unclosed_quote(path))
    if line_count == 1:
        raw.table = pd.DataFrame({name: pd.Series([], dtype=TEXT) for name in header})
        return raw
    bad_rows: list[int] = []
    try:
        table = _parse(path, header, bad_rows)
    except pa.ArrowInvalid as error:
        raw.problems.extend(undecodable(path))
        if not raw.problems:
            raw.problems.extend(_failed(path, "unreadable", f"is not CSV: {error}").problems)
        return raw
    if bad_rows:
        raw.problems.extend(wrong_widths(path, header))
    raw.table = as_text(table, path, raw.problems)
    if line_count != len(raw.table) + 1:  # blank lines, line breaks in values, rows left out
        raw.lines = RowLines(lambda: record_lines(path, len(header)), 2)
    return raw


def _parse(path: Path, header: list[str], bad_rows: list[int]) -> pa.Table:
    def leave_out(row: pa.csv.InvalidRow) -> str:
        bad_rows.append(row.actual_columns)
        return "skip"

    with path.open("rb") as stream:
        return pa.csv.read_csv(
            stream,
            pa.csv.ReadOptions(block_size=_CHUNK),
            pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=leave_out),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.large_string())),
        )


def _survey(path: Path) -> tuple[int, int]:
    """Lines (ended by LF, CRLF or CR) and quotation marks of a file."""
    breaks = quotes = 0
    last = b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            breaks += chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
            breaks -= last == b"\r" and chunk.startswith(b"\n")
            quotes += chunk.count(b'"')
            last = chunk[-1:]
    return breaks + (last not in b"\r\n"), quotes


def _wrong_separator(path: Path, header: Sequence[str]) -> list[Problem]:
    """A table that a spreadsheet saved with the separator of its country."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and sign in header[0]:
            words = (
                f"the columns are separated by {name}: {header[0]!r}; save the table as CSV with "
                "commas (in a spreadsheet: choose the field delimiter when saving)"
            )
            return [Problem(str(path), 1, None, "wrong_separator", words)]
    return []


def _doubled_columns(path: Path, header: Sequence[str], line: int | None) -> list[Problem]:
    return [
        Problem(
            str(path),
            line,
            name,
            "doubled_column",
            f"{header.count(name)} columns have this name; rename or delete all but one",
        )
        for name in sorted(set(header))
        if header.count(name) > 1
    ]
