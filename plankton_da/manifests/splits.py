"""Division of rows into train, val and test: stratified by label, never across a group.

Groups are placed first, one by one (``group_placement``); rows without a group then fill up, label
by label, what the groups left. Every label keeps rows in train, whatever else gives way: a network
cannot learn a class that it never sees.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from plankton_da.errors import UsageError
from plankton_da.manifests.columns import SPLITS, TEXT, column_of, encode
from plankton_da.manifests.group_placement import place_groups

MID_RATIOS = (85.0, 15.0, 0.0)


def split_manifest(
    table: pd.DataFrame,
    ratios: tuple[float, float, float],
    seed: int,
    group: str | None = "group",
) -> pd.Series[str]:
    """A split for every row: stratified by ``label``, never across a ``group``.

    Parameters
    ----------
    table
        rows of a manifest; without the column ``label`` all rows are one stratum
    ratios
        train, val, test; not negative, of any sum
    seed
        the same table and seed give the same division
    group
        column whose equal values stay together ('' = a group of its own); None, or a column that
        the table lacks: no groups

    Returns
    -------
    Series
        ``train``, ``val`` or ``test`` for each row, with the table's index. Without groups each
        label's counts are within 2 rows of its share.

    Raises
    ------
    UsageError
        Impossible ratios.
    """
    shares = _shares(ratios)
    labels = encode(column_of(table, "label"))
    codes = np.full(len(table), -1, dtype=np.int8)
    rng = np.random.default_rng(seed)
    if group is not None and group in table.columns:
        groups = encode(table[group])
        grouped = np.flatnonzero(~groups.is_empty())
        if len(grouped):
            free = np.bincount(labels.codes[groups.is_empty()], minlength=len(labels.values))
            codes[grouped] = place_groups(
                groups.codes[grouped], labels.codes[grouped], free, shares, rng
            )
    _fill_up(codes, labels.codes, shares, rng)
    return _named(codes, table.index)


def mid_split(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A copy of the table whose rows without split are divided 85/15 into train and val.

    Stratified by label and never across a group (ungrouped where empty). A row whose group has a
    split already follows its group.
    """
    splits = encode(column_of(table, "split"))
    codes, free = splits.codes.copy(), splits.is_empty()
    if "group" in table.columns and free.any() and not free.all():
        groups = encode(table["group"])
        known = np.full(len(groups.values), -1, dtype=codes.dtype)
        known[groups.codes[~free]] = codes[~free]
        follows = free & ~groups.is_empty() & (known[groups.codes] >= 0)
        codes[follows] = known[groups.codes[follows]]
        free &= ~follows
    names = splits.values.take(pa.array(codes))
    split = pd.Series(names, index=table.index, dtype=TEXT)
    if free.any():
        columns = [name for name in ("label", "group") if name in table.columns]
        split[free] = split_manifest(table.loc[free, columns], MID_RATIOS, seed)
    return table.assign(split=split)


def _shares(ratios: tuple[float, float, float]) -> NDArray[np.float64]:
    whole = sum(ratios)
    if len(ratios) != 3 or not (math.isfinite(whole) and whole > 0 and min(ratios) >= 0):
        listed = ",".join(f"{ratio:g}" for ratio in ratios)
        raise UsageError(
            f"--ratios {listed}: expected three numbers, none below 0 and not all 0, for "
            "train,val,test, such as 70,15,15"
        )
    return np.asarray(ratios, dtype=np.float64) / whole


def _fill_up(
    codes: NDArray[np.int8],
    labels: NDArray[np.int32],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Place the rows whose code is -1, in place."""
    free = np.flatnonzero(codes < 0)
    free = free[rng.permutation(len(free))]
    free = free[np.argsort(labels[free], kind="stable")]  # label by label, shuffled within
    count = int(labels.max(initial=-1)) + 1
    of_label = np.bincount(labels, minlength=count)
    free_of_label = np.bincount(labels[free], minlength=count)
    placed = np.zeros((count, len(SPLITS)), dtype=np.int64)
    there = codes >= 0
    np.add.at(placed, (labels[there], codes[there]), 1)
    quotas = _quotas(of_label, free_of_label, placed, shares)
    codes[free] = np.repeat(np.tile(np.arange(len(SPLITS)), count), quotas.ravel()).astype(np.int8)


def _quotas(
    of_label: NDArray[np.int64],
    free_of_label: NDArray[np.int64],
    placed: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Free rows of each label for each split (K, 3).

    What rounding takes from a split with one label it gives back with the next, rare labels first;
    else a table of many rare labels would have no val at all.
    """
    quotas = np.zeros_like(placed)
    carry = np.zeros(len(shares))
    for label in np.argsort(of_label, kind="stable").tolist():
        free = int(free_of_label[label])
        wanted = of_label[label] * shares - placed[label]
        quota = _rounded(wanted + carry, free, shares > 0)
        if shares[0] > 0 and free and placed[label, 0] + quota[0] == 0:
            giver = int(np.argmax(np.where(quota > 0, quota - wanted, -np.inf)))
            quota[[0, giver]] += [1, -1]
        quotas[label] = quota
        if not placed[label].any():
            carry = np.clip(carry + wanted - quota, -1.0, 1.0)
    return quotas


def _rounded(
    wanted: NDArray[np.float64], total: int, usable: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Whole numbers >= 0 of the given sum, near the wanted ones."""
    least = np.where(usable, np.maximum(wanted, 0.0), 0.0)
    if least.sum() > total:
        least *= total / least.sum()
    whole = np.floor(least + 1e-9).astype(np.int64)
    while whole.sum() < total:
        whole[int(np.argmax(np.where(usable, wanted - whole, -np.inf)))] += 1
    return whole


def _named(codes: NDArray[np.int8], index: pd.Index) -> pd.Series[str]:
    names = pa.array(SPLITS, pa.large_string()).take(pa.array(codes))
    return pd.Series(names, index=index, name="split", dtype=TEXT)
