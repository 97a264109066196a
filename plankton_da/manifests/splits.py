"""Division of rows into train, val and test."""

from __future__ import annotations

import pandas as pd

SPLITS = ("train", "val", "test")


def split_manifest(
    table: pd.DataFrame,
    ratios: tuple[float, float, float],
    seed: int,
    group: str | None = "group",
) -> pd.Series[str]:
    """A split for every row: stratified by ``label``, never across a ``group``; table's index."""
    raise NotImplementedError


def mid_split(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A copy of the table whose rows without split are divided 85/15 into train and val."""
    raise NotImplementedError
