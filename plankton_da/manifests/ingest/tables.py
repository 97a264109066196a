"""Tables as labs have them: commas, semicolons or tabs, UTF-8, UTF-16 or latin-1, or Parquet."""

from __future__ import annotations

import codecs
import csv
import io
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from plankton_da.errors import ManifestError
from plankton_da.manifests.csv_reading import BLOCK, survey
from plankton_da.manifests.ingest.rows import Rows
from plankton_da.manifests.parquet_reading import DAMAGE
from plankton_da.manifests.problems import Problems
from plankton_da.manifests.reading import as_text

SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".parquet")
_LONGEST_VALUE = 1 << 20  # characters; an unclosed quote makes one value of all that follows
_LONGEST_LINE = 1 << 24  # characters
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass
class LooseTable:
    """Columns of strings, '' for empty; rows that could not be read are in ``failed``."""

    table: pd.DataFrame
    line_numbers: array[int] | None
    """the line where each row begins; None: each row is a line"""
    failed: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    first_line: int = 1
    """where ``line_numbers`` is None; 1 where the file has no lines"""

    def lines(self) -> NDArray[np.int64]:
        """Each row's (N,) line, the header's being 1; in Parquet its number, from 1."""
        if self.line_numbers is None:
            return np.arange(len(self.table)) + self.first_line
        return np.frombuffer(self.line_numbers, np.int64)


def read_loose_table(path: Path) -> LooseTable:
    """A table with a header.

    Raises
    ------
    ManifestError
        The file is no such table: empty, damaged, or with two columns of one name.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        if plain := _read_plain(path):
            return plain
        try:
            return _read_text(path, "utf-8")
        except UnicodeDecodeError:
            loose = _read_text(path, "latin-1")
            loose.remarks.append(f"{path}: is not UTF-8; read as latin-1")
            return loose
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_parquet(path: Path) -> LooseTable:
    try:
        with path.open("rb") as stream:
            table = pa.parquet.read_table(stream)
        names = table.column_names
    except DAMAGE as error:
        raise ManifestError(f"{path}: is not a whole Parquet file: {error}") from error
    _check_header(path, names)
    problems = Problems()
    frame = as_text(table, path, problems)
    return LooseTable(frame, None, remarks=[f"{each} (left out)" for each in problems])


def _read_plain(path: Path) -> LooseTable | None:
    """A table of UTF-8 where each row is a line, quickly; None: it is another one."""
    line_count, quotes = survey(path)
    if quotes % 2 or line_count < 2:
        return None
    with path.open("rb") as stream:
        line = stream.readline(_LONGEST_LINE).rstrip(b"\r\n")
        stream.seek(0)
        try:
            first = line.decode("utf-8-sig")
            delimiter = _delimiter(path, first)
            header = _header(path, next(csv.reader([first], delimiter=delimiter), []))
            columns = pa.csv.read_csv(
                stream,
                pa.csv.ReadOptions(block_size=BLOCK, column_names=header, skip_rows=1),
                pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=quotes > 0),
                pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.large_string())),
            )
        except (UnicodeDecodeError, csv.Error, pa.ArrowInvalid):
            return None
    if "\r" in first or len(columns) + 1 != line_count:
        return None
    return LooseTable(as_text(columns, path, Problems()), None, first_line=2)


def _read_text(path: Path, encoding: str) -> LooseTable:
    with path.open("rb") as raw:
        head = raw.read(4)
        raw.seek(0)
        for bom, name in _BOMS.items():
            if head.startswith(bom):
                encoding = name
        stream = io.TextIOWrapper(raw, encoding, newline="")
        try:
            return _parse(path, stream)
        except csv.Error as error:
            raise ManifestError(f"{path}: is no table of values: {error}") from error
        except UnicodeError as error:
            if encoding == "utf-8":
                raise
            raise ManifestError(f"{path}: is not the {encoding} that it begins with") from error


def _parse(path: Path, stream: IO[str]) -> LooseTable:
    first = stream.readline(_LONGEST_LINE)
    stream.seek(0)
    before = csv.field_size_limit(_LONGEST_VALUE)
    try:
        reader = csv.reader(_lines(path, stream), delimiter=_delimiter(path, first))
        header = _header(path, next(reader, []))
        rows, lines, failed = Rows(header), array("q"), []
        begin = reader.line_num + 1
        for values in reader:
            if len(values) == len(header) + 1 and not values[-1]:
                values.pop()  # a separator at the end of each line
            if len(values) == len(header):
                rows.add(values)
                lines.append(begin)
            elif values:
                why = f"a line does not have {len(header)} values, as the header has"
                failed.append((f"{path}:{begin}", why))
            begin = reader.line_num + 1
    finally:
        csv.field_size_limit(before)
    return LooseTable(rows.plain(), lines, failed)


def _lines(path: Path, stream: IO[str]) -> Iterator[str]:
    while line := stream.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise ManifestError(f"{path}: a line has more than {_LONGEST_LINE:,} characters")
        yield line


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    return max((",", ";", "\t"), key=header.count)


def _header(path: Path, names: Sequence[str]) -> list[str]:
    header = [name.strip() for name in names]
    if any(header):  # some programs leave the name of the rows' numbers empty
        header = [name or f"column_{place}" for place, name in enumerate(header, 1)]
    _check_header(path, header)
    return header


def _check_header(path: Path, header: list[str]) -> None:
    if not any(header):
        raise ManifestError(f"{path}: is empty: no header and no rows")
    twice = [name for name, number in Counter(header).items() if number > 1]
    if twice:
        listed = ", ".join(repr(name) for name in twice[:20])
        raise ManifestError(f"{path}:1: several columns are called {listed}; rename all but one")
