"""CSV files as tables of strings, with every problem of the file itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from plankton_da.manifests.csv_faults import (
    record_lines,
    records,
    unclosed_quote,
    undecodable,
    wrong_widths,
)
from plankton_da.manifests.fingerprint import Fingerprint
from plankton_da.manifests.problems import Problem
from plankton_da.manifests.raw_table import (
    RawTable,
    RowLines,
    doubled_columns,
    failed,
    fill,
    found_among,
)

BLOCK = 1 << 21
"""bytes that are parsed at once: a row must fit"""
_CHUNK = 1 << 18  # bytes that are counted at once: they fit a processor's cache


def read_csv(
    path: Path, wanted: Collection[str] | None, fingerprint: Fingerprint | None
) -> RawTable:
    """As ``reading.read_table``; an OSError is the caller's."""
    raw = read_csv_names(path)
    header = raw.names
    if raw.problems:
        raw.names = []
        return raw
    line_count, quotes = survey(path)
    if quotes % 2:  # Arrow takes all that follows an unclosed quote as one value, silently
        raw.problems.add(unclosed_quote(path))
    if line_count == 1:
        empty = ((name, pa.chunked_array([], pa.large_string())) for name in header)
        return fill(raw, path, empty, 0, wanted, fingerprint)
    read = header if fingerprint is not None else found_among(header, wanted)
    read = read or header  # to Arrow, no column means all
    bad_rows: list[int] = []
    try:
        table = _parse(path, read, bad_rows, quoted=quotes > 0)
    except pa.ArrowInvalid as error:
        raw.problems.extend(undecodable(path))
        if not raw.problems:
            raw.problems.extend(failed(path, "unreadable", f"is not CSV: {error}").problems)
        raw.names = []
        return raw
    if bad_rows:
        raw.problems.extend(wrong_widths(path, header))
    columns, rows = dict(zip(read, table.columns, strict=True)), len(table)
    del table
    fill(raw, path, _let_go(columns), rows, wanted, fingerprint, utf8=True)
    if line_count != rows + 1:  # blank lines, line breaks in values, rows left out
        raw.lines = RowLines(lambda: record_lines(path, len(header)), 2)
    return raw


def read_csv_names(path: Path) -> RawTable:
    """The header alone; an OSError is the caller's."""
    raw = RawTable(pd.DataFrame(), RowLines(None, 2))
    try:
        raw.names = next(records(path), (1, 1, []))[2]
    except UnicodeDecodeError:
        raw.problems.extend(undecodable(path))
        return raw
    raw.problems.add(_wrong_separator(path, raw.names))
    raw.problems.add(doubled_columns(path, raw.names, 1))
    if not raw.names and not raw.problems:
        return failed(path, "empty", "is empty: no header and no rows")
    return raw


def _parse(path: Path, columns: list[str], bad_rows: list[int], quoted: bool) -> pa.Table:
    def leave_out(row: pa.csv.InvalidRow) -> str:
        bad_rows.append(row.actual_columns)
        return "skip"

    with path.open("rb") as stream:
        return pa.csv.read_csv(
            stream,
            pa.csv.ReadOptions(block_size=BLOCK),
            pa.csv.ParseOptions(newlines_in_values=quoted, invalid_row_handler=leave_out),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()), include_columns=columns
            ),
        )


def _let_go(columns: dict[str, pa.ChunkedArray]) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Each column, which is then no longer in the dict."""
    while columns:
        name = next(iter(columns))
        yield name, columns.pop(name)


def survey(path: Path) -> tuple[int, int]:
    """Lines (ended by LF, CRLF or CR) and quotation marks of a file."""
    breaks = quotes = 0
    last = b""
    buffer = bytearray(_CHUNK)
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            chunk = buffer if size == len(buffer) else buffer[:size]
            breaks += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord("\n")))
            if b"\r" in chunk:
                breaks += chunk.count(b"\r") - chunk.count(b"\r\n")
            breaks -= last == b"\r" and chunk.startswith(b"\n")
            if b'"' in chunk:
                quotes += chunk.count(b'"')
            last = bytes(chunk[-1:])
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
