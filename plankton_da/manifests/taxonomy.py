"""Label maps: what a lab calls an image -> the class that the network learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from plankton_da.errors import ManifestError
from plankton_da.manifests.columns import TEXT, Encoded, column_of, encode
from plankton_da.manifests.problems import SHOWN_PER_CODE, Problem
from plankton_da.manifests.reading import RawTable, read_table
from plankton_da.manifests.rules import problems_at

COLUMNS = ("label", "class")
CHECK = "check"
"""column in which a suggested row has a question for a person"""


def read_taxonomy(path: Path | str) -> dict[str, str]:
    """Label -> class of a CSV with the columns label,class; the class '' drops the rows.

    A column ``check`` holds the questions of ``suggest_taxonomy``, and must be answered: empty.
    Other columns are for people's notes.

    Raises
    ------
    ManifestError
        The file cannot be parsed, lacks a column, has no rows, an empty label, a label with two
        classes, or a class that nobody has confirmed; the message lists every problem with its
        line.
    """
    path = Path(path)
    raw = read_table(path)
    found = list(raw.table.columns)
    if found:
        raw.problems.add(missing_columns(path, found))
        if raw.table.empty and not raw.problems:
            words = "has a header but no rows; a taxonomy has one row per label"
            raw.problems.add([Problem(str(path), None, None, "empty", words)])
    if set(COLUMNS) <= set(found):
        _check_rows(path, raw)
    raw.problems.raise_if_any()
    return dict(zip(raw.table["label"].tolist(), raw.table["class"].tolist(), strict=True))


def missing_columns(path: Path, found: list[str]) -> list[Problem]:
    """Columns that a label map must have and this one has not."""
    words = f"this column is required and not there; found: {', '.join(found)}"
    return [
        Problem(str(path), 1, name, "missing_column", words)
        for name in COLUMNS
        if name not in found
    ]


def _check_rows(path: Path, raw: RawTable) -> None:
    labels, classes = encode(raw.table["label"]), encode(raw.table["class"])
    first = labels.first_rows()

    def words(row: int) -> str:
        before = int(first[row])
        return (
            f"{labels.value(row)!r} is mapped to {classes.value(row)!r} here and to "
            f"{classes.value(before)!r} in line {raw.lines.of(before)}; keep one"
        )

    empty = labels.is_empty()
    twice = (classes.codes != classes.codes[first]) & ~empty
    raw.problems.extend(problems_at(path, raw, twice, "label", "two_classes", words))
    needed = "the label is empty; rows without a label stay as they are"
    raw.problems.extend(problems_at(path, raw, empty, "label", "empty_value", needed))
    open_rows = np.asarray(column_of(raw.table, CHECK).str.strip() != "", dtype=bool)

    def question(row: int) -> str:
        why = raw.table[CHECK].iloc[row].strip()
        return (
            f"{labels.value(row)!r} -> {classes.value(row)!r} is a guess ({why}); correct the "
            "class if it is wrong, then empty this cell"
        )

    raw.problems.extend(problems_at(path, raw, open_rows, CHECK, "unconfirmed", question))


def apply_taxonomy(table: pd.DataFrame, taxonomy: dict[str, str]) -> pd.DataFrame:
    """A copy with classes as labels, without the rows that the map drops; the index is kept.

    Rows without a label stay without; a table without the column ``label`` stays as it is.

    Raises
    ------
    ManifestError
        Labels that the map does not have: all of them, with the lines to add.
    """
    if "label" not in table.columns:
        return table.copy()
    labels = encode(table["label"])
    unknown = unmapped(labels, taxonomy)
    if unknown:
        raise ManifestError(_lines_to_add(unknown, sorted(set(taxonomy.values()) - {""})))
    names = labels.values.to_pylist()
    classes = [taxonomy[name] if name else "" for name in names]
    dropped = np.array([name != "" and not taxonomy[name] for name in names], dtype=bool)
    mapped = pa.array(classes, pa.large_string()).take(pa.array(labels.codes))
    result = table.assign(label=pd.Series(mapped, index=table.index, dtype=TEXT))
    return result[~dropped[labels.codes]]


def unmapped(labels: Encoded, taxonomy: dict[str, str]) -> list[str]:
    """Labels that the map does not have, sorted."""
    return sorted(name for name in labels.values.to_pylist() if name and name not in taxonomy)


def _lines_to_add(unknown: list[str], classes: list[str]) -> str:
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in unknown]
    names = [
        quote if set(name) & set(',"\r\n') else name
        for name, quote in zip(unknown, quoted, strict=True)
    ]
    lines = [f"  {name}," for name in names[:SHOWN_PER_CODE]]
    if len(names) > len(lines):
        lines.append(f"... and {len(names) - len(lines)} more")
    return "\n".join(
        [
            f"the taxonomy lacks {len(unknown)} label(s); add a line label,class for each (an "
            f"empty class drops its rows; classes so far: {', '.join(classes) or 'none'}):",
            *lines,
        ]
    )
