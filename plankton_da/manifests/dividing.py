"""Division of a manifest file."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from plankton_da.errors import DataError, UsageError
from plankton_da.manifests.columns import column_of
from plankton_da.manifests.reading import read_table
from plankton_da.manifests.rules import value_problems
from plankton_da.manifests.splits import split_manifest
from plankton_da.manifests.table import rebase_refs, refuse_existing, write_manifest


def divide(
    path: Path,
    ratios: tuple[float, float, float],
    seed: int,
    out: Path,
    group: str | None = None,
    overwrite: bool = False,
    overwrite_split: bool = False,
) -> pd.DataFrame:
    """Write a copy of a manifest with new splits; returns its table.

    Refs are made relative to the new manifest's folder. ``group`` is the column to keep together;
    None: ``group`` where there is one.

    Raises
    ------
    ManifestError
        The manifest has problems (its old splits apart).
    UsageError
        Impossible ratios; or rows have a split already, and ``overwrite_split`` is False.
    DataError
        No column ``group``.
    OutputError
        ``out`` exists and ``overwrite`` is False, or it cannot be written.
    """
    refuse_existing(out, overwrite)
    raw = read_table(path)
    if not overwrite_split:
        _refuse_splits(path, raw.table)
    raw.table = raw.table.drop(columns="split", errors="ignore")
    raw.problems.extend(value_problems(path, raw))
    raw.problems.raise_if_any()
    if group is not None and group not in raw.table.columns:
        listed = ", ".join(raw.table.columns)
        raise DataError(f"{path}: --group {group}: no such column; found: {listed}")
    split = split_manifest(raw.table, ratios, seed, group or "group")
    table = raw.table.assign(split=split)
    table["image"] = rebase_refs(table["image"], path.absolute().parent, out.absolute().parent)
    write_manifest(table, out, overwrite)
    return table


def _refuse_splits(path: Path, table: pd.DataFrame) -> None:
    counts = column_of(table, "split").value_counts(sort=False)
    found = [f"{name} {count}" for name, count in counts.items() if name]
    if found:
        raise UsageError(
            f"{path}: its rows have splits already ({', '.join(found)}); a new division may move "
            "rows that a model was trained on into test. To divide all rows again, add "
            "--overwrite-split"
        )


def parse_ratios(text: str) -> tuple[float, float, float]:
    """Three numbers that add up to 100 (or 1) out of ``"70,15,15"``.

    Raises
    ------
    UsageError
        Anything else.
    """
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--ratios {text}: expected three numbers for train,val,test, such as 70,15,15"
        ) from None
    whole = train + val + test
    if min(train, val, test) >= 0 and whole > 0 and not _is_whole(whole):
        percent = (100 * share / whole for share in (train, val, test))
        raise UsageError(
            f"--ratios {text}: they add up to {whole:g}; give shares of train,val,test in percent, "
            f"which add up to 100 (in the same proportion: {','.join(f'{x:.4g}' for x in percent)})"
        )
    return train, val, test


def _is_whole(total: float) -> bool:
    return any(math.isclose(total, whole, rel_tol=1e-3) for whole in (100.0, 1.0))
