"""What the values of a manifest must be; whole columns at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.errors import suggest
from plankton_da.manifests.columns import OPTIONAL, REQUIRED, SPLITS, combinations, encode
from plankton_da.manifests.distinct import has_repetitions
from plankton_da.manifests.problems import KEPT_PER_CODE, Problem, Problems
from plankton_da.manifests.reading import RawTable

_NEEDED = "the value is empty; every row needs one"
_POSITIVE_NUMBER = r"^\s*\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


def value_problems(path: Path, raw: RawTable) -> Problems:
    """Problems of columns and values; the file itself is ``reading``'s matter."""
    table = raw.table
    problems = Problems()
    if not raw.names:
        return problems
    problems.add(missing_columns(path, raw.names))
    if not len(table) and not raw.problems:
        words = "has a header but no rows; a manifest has one row per image"
        problems.add([Problem(str(path), None, None, "empty", words)])
    for name in REQUIRED:
        if name in table.columns:
            empty = np.asarray(table[name] == "", dtype=bool)
            problems.extend(problems_at(path, raw, empty, name, "empty_value", _NEEDED))
    if "object_id" in table.columns:
        problems.extend(_duplicate_ids(path, raw))
    if "split" in table.columns:
        problems.extend(_unknown_splits(path, raw))
        for name in ("group", "image"):
            if name in table.columns:
                problems.extend(_crossings(path, raw, name))
    if "pixel_size_um" in table.columns:
        problems.extend(_pixel_sizes(path, raw))
    return problems


def problems_at(
    path: Path,
    raw: RawTable,
    where: NDArray[np.bool_] | NDArray[np.intp],
    column: str | None,
    code: str,
    words: Callable[[int], str] | str,
    keep: int = KEPT_PER_CODE,
) -> Problems:
    """A problem of one code for each row of ``where`` (a mask or row numbers); all are counted."""
    rows = np.flatnonzero(where) if where.dtype == np.bool_ else where
    problems = Problems()
    kept = (
        Problem(
            str(path),
            raw.lines.of(int(row)),
            column,
            code,
            words if isinstance(words, str) else words(int(row)),
        )
        for row in rows[:keep]
    )
    problems.add(kept, total=len(rows))
    return problems


def missing_columns(path: Path, found: list[str]) -> list[Problem]:
    """Columns that a manifest must have and this one has not."""
    missing = [name for name in REQUIRED if name not in found]
    if missing and len(found) == 1 and (";" in found[0] or "\t" in found[0]):
        separator = "semicolons" if ";" in found[0] else "tabs"
        words = f"values are separated by {separator}; save the table with commas"
        return [Problem(str(path), 1, None, "missing_column", words)]
    free = [name for name in found if name not in REQUIRED + OPTIONAL]
    listed = ", ".join(found) or "none"
    return [
        Problem(
            str(path),
            1,
            name,
            "missing_column",
            f"this column is required and not there; found: {listed}{suggest(name, free)}",
        )
        for name in missing
    ]


def _duplicate_ids(path: Path, raw: RawTable) -> Problems:
    if not has_repetitions(raw.table["object_id"]):
        return Problems()
    ids = encode(raw.table["object_id"])
    first = ids.first_rows()
    again = (first != np.arange(len(first))) & ~ids.is_empty()

    def words(row: int) -> str:
        line = raw.lines.of(int(first[row]))
        return f"{ids.value(row)!r} stands in line {line} already; every row needs its own id"

    return problems_at(path, raw, again, "object_id", "duplicate_object_id", words)


def _unknown_splits(path: Path, raw: RawTable) -> Problems:
    splits = raw.encoded["split"]
    values = splits.values.to_pylist()
    unknown = [code for code, value in enumerate(values) if value not in (*SPLITS, "")]
    problems = Problems()
    for code in unknown:  # one after the other, so that none hides the others
        near = suggest(values[code].strip().lower(), SPLITS)
        words = f"a split is {', '.join(SPLITS)} or empty; found {values[code]!r}{near}"
        rows = np.flatnonzero(splits.codes == code)
        keep = max(KEPT_PER_CODE // len(unknown), 1)
        problems.extend(problems_at(path, raw, rows, "split", "unknown_split", words, keep))
    return problems


def _crossings(path: Path, raw: RawTable, name: str) -> Problems:
    """Values of a column that stand in rows of different splits; rows without split are free."""
    if name == "image" and not has_repetitions(raw.table[name]):
        return Problems()
    values = encode(raw.table[name]) if name == "image" else raw.encoded[name]
    splits = raw.encoded["split"]
    known = np.array([value in SPLITS for value in splits.values.to_pylist()], dtype=bool)
    (of_value, of_split), _ = combinations(values, splits)
    placed = of_value[known[of_split] & (of_value != values.empty)]
    if len(np.unique(placed)) == len(placed):  # each in one split
        return Problems()
    numbers = np.flatnonzero(known[splits.codes] & ~values.is_empty())
    values, splits = values.of_rows(numbers), splits.of_rows(numbers)
    first = values.first_rows()
    crossing = np.flatnonzero(splits.codes != splits.codes[first])
    _, distinct = np.unique(values.codes[crossing], return_index=True)
    way_out = {
        "group": (
            "a group is never split; divide again: plankton-da manifest split --overwrite-split"
        ),
        "image": "the same image must not be learnt from and tested on; keep one of the rows",
    }[name]
    at = {int(numbers[row]): int(row) for row in crossing[distinct][:KEPT_PER_CODE]}

    def words(row: int) -> str:
        here, there = at[row], int(first[at[row]])
        line = raw.lines.of(int(numbers[there]))
        return (
            f"{name} {values.value(here)!r} is in split {splits.value(here)} here and in "
            f"{splits.value(there)} in line {line}; {way_out}"
        )

    rows = np.sort(numbers[crossing[distinct]])
    return problems_at(path, raw, rows, name, f"{name}_crosses_splits", words)


def _pixel_sizes(path: Path, raw: RawTable) -> Problems:
    sizes = raw.encoded["pixel_size_um"]
    number = _matches(sizes.values, _POSITIVE_NUMBER)
    zero = _matches(sizes.values, r"^[^1-9eE]*([eE]|$)")
    wrong = (~number | zero)[sizes.codes] & ~sizes.is_empty()

    def words(row: int) -> str:
        found = raw.table["pixel_size_um"].iloc[row]
        return f"a pixel's side in micrometres, a number above 0 such as 10.6; found {found!r}"

    return problems_at(path, raw, wrong, "pixel_size_um", "not_a_pixel_size", words)


def _matches(values: pa.Array, pattern: str) -> NDArray[np.bool_]:
    found = pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=bool)
