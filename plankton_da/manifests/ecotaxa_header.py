"""The first two rows of an EcoTaxa table, held against the rules of its importer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plankton_da.manifests.ecotaxa_faults import Faults
from plankton_da.manifests.ecotaxa_tables import (
    FIXED_NUMBERS,
    FIXED_TEXTS,
    IDS,
    MANDATORY,
    MAX_NUMBERS,
    MAX_PARENT_COLUMNS,
    MAX_TEXTS,
    NUMBER,
    PREFIXES,
    TEXT,
    column_name,
    is_type_row,
)
from plankton_da.manifests.ingest.ecotaxa_rows import Row

FIXED = frozenset((*FIXED_NUMBERS, *FIXED_TEXTS))


@dataclass(frozen=True)
class Header:
    """Columns by their place, and which of them hold numbers."""

    columns: tuple[str, ...]
    numbers: frozenset[str]


FreeColumns = dict[str, dict[str, None]]
"""kind of free column -> names, of all tables of a bundle: they go into one project"""


def header_of(
    rows: Iterator[Row], found: Faults, free: FreeColumns, *, update_only: bool
) -> Header | None:
    """Read and check the two rows; None where no further row can be understood."""
    first, second = next(rows, None), next(rows, None)
    if first is None:
        found.error(None, None, "empty", "is empty: no header, no types and no rows")
        return None
    if first.problem:
        found.error(first.line, None, "unreadable_row", first.problem)
        return None
    columns = tuple(column_name(cell) for cell in first.cells)
    needed = ("object_id",) if update_only else MANDATORY
    missing = [name for name in needed if name not in columns]
    if missing:
        listed = ", ".join(name for name in columns[:5] if name) or "none"
        words = f"there is no such column; tab-separated columns found: {listed}"
        found.error(first.line, missing[0], "missing_column", words)
        return None
    for name in sorted({name for name in columns if columns.count(name) > 1}):
        words = f"{columns.count(name)} columns have this name; the importer takes the last"
        found.error(first.line, name, "doubled_column", words)
    if second is None:
        found.error(first.line, None, "empty", "has a header, but no types and no rows")
        return None
    if not is_type_row(second.cells):
        words = "the second row must give the type of each column, [t] or [f]; here it holds data"
        found.error(second.line, None, "no_type_row", words)
        return None
    types = dict(zip(columns, (cell.strip() for cell in second.cells), strict=False))
    numbers = _numbers(columns, types, (first.line, second.line), found, free)
    _check_counts(free, first.line, found)
    _check_ids(columns, first.line, found)
    return Header(columns, frozenset(numbers))


def _numbers(
    columns: tuple[str, ...],
    types: dict[str, str],
    lines: tuple[int, int],
    found: Faults,
    free: FreeColumns,
) -> set[str]:
    """Columns that hold numbers; faults of names and types."""
    line, type_line = lines
    numbers = set(FIXED_NUMBERS)
    for name in columns:
        if name in FIXED:
            continue
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if "_" not in name:
            words = "a column is called TABLE_FIELD, such as object_area; rename or delete it"
            found.error(line, name, "column_name", words)
        elif prefix is None or prefix == "img_":
            known = ", ".join(known for known in PREFIXES if known != "img_")
            words = f"a free column's name begins with {known}; rename or delete it"
            found.error(line, name, "column_prefix", words)
        elif prefix == "object_":
            kind = types.get(name, "")
            if kind not in (NUMBER, TEXT):
                words = f"a type is {NUMBER} (number) or {TEXT} (text); found {kind!r}"
                found.error(type_line, name, "column_type", words)
            elif kind == NUMBER:
                numbers.add(name)
            if kind in (NUMBER, TEXT):
                free.setdefault(f"object_ columns of type {kind}", {})[name] = None
        else:
            free.setdefault(f"{prefix} columns", {})[name] = None
    return numbers


def _check_counts(free: FreeColumns, line: int, found: Faults) -> None:
    limits = {
        f"object_ columns of type {NUMBER}": MAX_NUMBERS,
        f"object_ columns of type {TEXT}": MAX_TEXTS,
    }
    for what, named in free.items():
        names, most = list(named), limits.get(what, MAX_PARENT_COLUMNS)
        if len(names) > most:
            words = f"{len(names)} free {what}; EcoTaxa keeps {most}: delete "
            found.error(line, None, "too_many_columns", words + ", ".join(names[most:][:20]))


def _check_ids(columns: tuple[str, ...], line: int, found: Faults) -> None:
    for own in IDS:
        prefix = own.removesuffix("id")
        others = [name for name in columns if name.startswith(prefix)]
        if others and own not in columns:
            words = f"this column is needed where there are {prefix} columns ({others[0]}, ...)"
            found.error(line, own, "missing_id", words)
