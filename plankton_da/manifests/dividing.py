"""Division of a manifest file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from plankton_da.errors import DataError, UsageError
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
) -> pd.DataFrame:
    """Write a copy of a manifest with new splits, whatever splits it had; returns its table.

    Refs are made relative to the new manifest's folder. ``group`` is the column to keep together;
    None: ``group`` where there is one.

    Raises
    ------
    ManifestError
        The manifest has problems (its old splits apart).
    UsageError
        Impossible ratios.
    DataError
        No column ``group``.
    OutputError
        ``out`` exists and ``overwrite`` is False, or it cannot be written.
    """
    refuse_existing(out, overwrite)
    raw = read_table(path)
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


def parse_ratios(text: str) -> tuple[float, float, float]:
    """Three numbers out of ``"70,15,15"``.

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
    return train, val, test
