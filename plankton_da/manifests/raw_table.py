"""A file's content as a table of strings, before its values are checked.

Values stay in Arrow memory from file to table: ten million rows make no Python objects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.manifests.columns import TEXT, EncodedTable, joined
from plankton_da.manifests.fingerprint import Fingerprint
from plankton_da.manifests.problems import Problem, Problems


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
    names: list[str] = field(default_factory=list)
    """of all columns of the file, those included that are not in ``table``; none without a table"""
    hasher: Fingerprint | None = None
    """of all columns, if it was asked for"""

    @property
    def fingerprint(self) -> str:
        """Of all columns; '' if it was not asked for, or there is no table."""
        return self.hasher.hexdigest() if self.hasher is not None else ""

    @cached_property
    def encoded(self) -> EncodedTable:
        """The columns of ``table`` as codes, once it is filled."""
        return EncodedTable(self.table)


def fill(
    raw: RawTable,
    path: Path,
    columns: Iterable[tuple[str, pa.ChunkedArray]],
    rows: int,
    wanted: Collection[str] | None,
    fingerprint: Fingerprint | None,
    utf8: bool = False,
) -> RawTable:
    """Put the columns into the table, those that are ``wanted`` (None: all); returns ``raw``."""
    kept = {}
    for name, text in texts_of(columns, path, raw.problems, utf8):
        if fingerprint is not None:
            fingerprint.add(name, text)
        if wanted is None or name in wanted:
            # what is read for its fingerprint is looked at once, which is not worth a copy
            kept[name] = text if fingerprint is not None else joined(text)
    raw.table = frame_of(kept, rows)
    raw.hasher = fingerprint
    return raw


def texts_of(
    columns: Iterable[tuple[str, pa.ChunkedArray]],
    path: Path,
    problems: Problems,
    utf8: bool = False,
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Columns as large strings without nulls, those left out that cannot be: a problem each.

    ``utf8``: they are known to be that, which need not be looked at again.
    """
    for name, column in columns:
        try:
            if pa.types.is_floating(column.type):
                column = pc.if_else(pc.is_nan(column), None, column)
            text = column.cast(pa.large_string())
            if text.null_count:
                text = text.fill_null("")
            if not utf8:
                text.validate(full=True)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            words = f"holds {column.type}, which is not text: {error}; store it as UTF-8 strings"
            problems.add([Problem(str(path), None, name, "not_text", words)])
        else:
            yield name, text


def frame_of(columns: Mapping[str, pa.Array | pa.ChunkedArray], rows: int) -> pd.DataFrame:
    """A table, without a copy; it has its rows also where there is no column."""
    if not columns:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    frame = pa.table(dict(columns)).to_pandas(types_mapper={pa.large_string(): TEXT}.get)
    return frame if isinstance(frame, pd.DataFrame) else pd.DataFrame()


def failed(path: Path, code: str, words: str) -> RawTable:
    """Of a file that gives no table."""
    raw = RawTable(pd.DataFrame(), RowLines(None, 1))
    raw.problems.add([Problem(str(path), None, None, code, words)])
    return raw


def found_among(names: Sequence[str], wanted: Collection[str] | None) -> list[str]:
    """The names that are wanted; None: all."""
    return [name for name in names if wanted is None or name in wanted]


def doubled_columns(path: Path, header: Sequence[str], line: int | None) -> list[Problem]:
    """Names that several columns have."""
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
