"""One EcoTaxa table as text columns, with every row that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from plankton_da.errors import ManifestError
from plankton_da.manifests.ecotaxa_tables import MANDATORY, column_name, is_type_row
from plankton_da.manifests.ingest.ecotaxa_places import TableFile
from plankton_da.manifests.ingest.ecotaxa_rows import Row, encoding_of, rows_of, text_of

MAX_COLUMNS = 2000
"""EcoTaxa takes 520 of objects and 30 of each other entity"""
_LETTERS_AT_ONCE = 1 << 24
_SHOWN = 5  # line numbers or names in a remark


@dataclass
class TableContent:
    """What a table says."""

    table: pa.Table
    """columns of large_string, named as EcoTaxa's importer understands them"""
    lines: NDArray[np.int64]
    """(N,) the line that each row begins in"""
    failed: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_content(file: TableFile) -> TableContent:
    """Read a table: any of the encodings, line ends and kinds of second row that occur.

    Rows that lack cells at their end are read (EcoTaxa does so too), up to half of them; rows with
    too many cells are not, since nobody can say which is which.

    Raises
    ------
    ManifestError
        It is no such table, or has no rows; the message does not name it.
    """
    try:
        with file.open() as stream:
            encoding = encoding_of(stream)
        with file.open() as stream, text_of(stream, encoding) as text:
            return _Reading(file.place, text).content()
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror or error}") from error


class _Reading:
    """One pass through a table."""

    def __init__(self, place: str, text: TextIO) -> None:
        self._place = place
        self._rows = rows_of(text)
        self._failed: list[tuple[str, str]] = []
        self._short: list[int] = []

    def content(self) -> TableContent:
        header = next(self._rows, None)
        if header is None:
            raise ManifestError("is empty")
        if header.problem:
            raise ManifestError(f"line {header.line}: {header.problem}")
        names = [column_name(cell) for cell in header.cells]
        self._check(names, header.line)
        columns = _Columns(names)
        lines: list[int] = []
        for number, row in enumerate(self._rows):
            if (number == 0 and is_type_row(row.cells)) or not self._is_whole(row, len(names)):
                continue
            lines.append(row.line)
            columns.add(row)
        if not lines and not self._failed:
            raise ManifestError("has a header but no rows")
        return TableContent(
            columns.table(), np.array(lines, dtype=np.int64), self._failed, self._remarks(names)
        )

    def _check(self, names: Sequence[str], line: int) -> None:
        if len(names) > MAX_COLUMNS:
            raise ManifestError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} are read")
        missing = [name for name in MANDATORY if name not in names]
        if missing:
            found = ", ".join(name for name in names[:_SHOWN] if name) or "nothing"
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise ManifestError(
                f"line {line}: no column {' and no column '.join(missing)} among those separated "
                f"by tabs; found {found[:300]}{more}; an export needs the option to include images"
            )

    def _is_whole(self, row: Row, width: int) -> bool:
        if row.text is not None and row.text.count("\t") == width - 1:
            return True
        place = f"{self._place}:{row.line}"
        if row.problem:
            self._failed.append((place, row.problem))
            return False
        count = len(row.cells)
        if any(cell.strip() for cell in row.cells[width:]) or 2 * count < width:
            words = f"the row has {count} cells, but the table {width} columns"
            self._failed.append((place, words))
            return False
        if count < width:
            self._short.append(row.line)
        return True

    def _remarks(self, names: Sequence[str]) -> list[str]:
        remarks = []
        if self._short:
            lines = ", ".join(map(str, self._short[:_SHOWN]))
            more = ", ..." if len(self._short) > _SHOWN else ""
            remarks.append(
                f"{self._place}: rows that end early: {len(self._short)}; the cells that they lack "
                f"are read as empty (line {lines}{more})"
            )
        doubled = sorted({name for name in names if name and names.count(name) > 1})
        if doubled:
            remarks.append(f"{self._place}: the first is read of columns {', '.join(doubled)}")
        return remarks


class _Columns:
    """Rows become columns many at a time, so that they are no Python objects for long."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = len(names)
        self._kept = {at: name for at, name in enumerate(names) if name and names.index(name) == at}
        self._parts: list[pa.Table] = []
        self._waiting: list[str] = []
        self._letters = 0

    def add(self, row: Row) -> None:
        """A row; cells that it lacks are empty, and those beyond the last column do not count."""
        text = row.text
        if text is None or text.count("\t") != self._width - 1:
            cells = (row.cells + [""] * self._width)[: self._width]
            text = "\t".join(cells)
            if text.count("\t") != self._width - 1 or "\n" in text:  # inside a cell
                self._pack()
                self._parts.append(self._of_cells(cells))
                return
        self._waiting.append(text)
        self._letters += len(text)
        if self._letters > _LETTERS_AT_ONCE:
            self._pack()

    def table(self) -> pa.Table:
        """All rows so far."""
        self._pack()
        none = self._of_cells(None)
        return pa.concat_tables([none, *self._parts])

    def _of_cells(self, cells: Sequence[str] | None) -> pa.Table:
        return pa.table(
            {
                name: pa.array([] if cells is None else [cells[at]], pa.large_string())
                for at, name in self._kept.items()
            }
        )

    def _pack(self) -> None:
        if not self._waiting:
            return
        data = "\n".join(self._waiting).encode()
        self._waiting, self._letters = [], 0
        numbers = [str(at) for at in range(self._width)]
        kept = [str(at) for at in self._kept]
        part = pa.csv.read_csv(
            pa.py_buffer(data),
            pa.csv.ReadOptions(
                column_names=numbers, block_size=len(data) + 1, use_threads=False, encoding="utf8"
            ),
            pa.csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.large_string()), include_columns=kept
            ),
        )
        self._parts.append(part.rename_columns(list(self._kept.values())))
