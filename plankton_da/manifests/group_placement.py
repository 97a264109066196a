"""Placement of whole groups so that each split holds its share of every label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 20
_EQUAL = 1e-9  # costs that differ by less are the same but for rounding


@dataclass(frozen=True)
class _Groups:
    """Rows of each label in each group: those of group g are ``begin[g]:begin[g + 1]``."""

    begin: NDArray[np.int64]
    label: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.begin) - 1

    def of(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        part = slice(self.begin[group], self.begin[group + 1])
        return self.label[part], self.rows[part]


def place_groups(
    groups: NDArray[np.int32],
    labels: NDArray[np.int32],
    ungrouped: NDArray[np.int64],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """The split (0, 1, 2) of each grouped row (N,).

    Minimises the sum over splits s and labels l of ``(rows[s, l] - shares[s] * n[l])**2 / n[l]``,
    with all labels together as one label more. Big groups first, each where it helps most; then
    each group moves where that makes the sum smaller, until none does. No label loses its last
    rows in train (split 0) by that, and one that has none there gets its smallest group.

    Parameters
    ----------
    groups, labels
        codes (N,) of the rows that have a group
    ungrouped
        rows without group of each label (K,); they fill up later, and train gets some
    shares
        (3,), sum 1; a split whose share is 0 gets nothing
    """
    distinct, groups_of_rows = np.unique(groups, return_inverse=True)
    table = _count(groups_of_rows, labels, len(distinct))
    sizes = np.bincount(labels, minlength=len(ungrouped))
    placement = _Placement(table, sizes, ungrouped, shares)
    order = rng.permutation(len(table))
    group_sizes = np.bincount(groups_of_rows, minlength=len(distinct))
    for group in order[np.argsort(-group_sizes[order], kind="stable")].tolist():
        placement.put(group, int(np.argmin(placement.costs(group))))
    if shares[0] > 0:
        placement.give_train_every_label(group_sizes)
    for _ in range(_ROUNDS):
        if not sum(placement.improve(group) for group in order.tolist()):
            break
    return placement.split[groups_of_rows]


def _count(groups: NDArray[np.intp], labels: NDArray[np.int32], group_count: int) -> _Groups:
    label_count = int(labels.max()) + 1
    pairs, rows = np.unique(groups * label_count + labels, return_counts=True)
    begin = np.searchsorted(pairs // label_count, np.arange(group_count + 1))
    return _Groups(begin, pairs % label_count, rows)


class _Placement:
    """Which split each group is in, and how far every label is from its share."""

    def __init__(
        self,
        groups: _Groups,
        sizes: NDArray[np.int64],
        ungrouped: NDArray[np.int64],
        shares: NDArray[np.float64],
    ) -> None:
        self.groups = groups
        self.split = np.full(len(groups), -1, dtype=np.int8)
        self._weight = 1.0 / np.maximum(sizes, 1)  # (K,)
        self._weight_of_all = 1.0 / sizes.sum()
        self._excess = -shares[:, None] * sizes  # (3, K) rows above the share
        self._excess_of_all = self._excess.sum(axis=1)  # (3,)
        self._in_train = ungrouped.copy()  # (K,) rows that train has, or will get
        self._closed = np.where(shares > 0, 0.0, np.inf)

    def costs(self, group: int) -> NDArray[np.float64]:
        """What the group, which is in no split now, would add to the sum in each (3,)."""
        label, rows = self.groups.of(group)
        of_labels = self._excess[:, label] @ (rows * self._weight[label])
        of_all = self._excess_of_all * (rows.sum() * self._weight_of_all)
        return np.asarray(of_labels + of_all + self._closed)  # + what is the same for all splits

    def put(self, group: int, split: int) -> None:
        """Place the group."""
        self.split[group] = split
        self._add(group, split, 1)

    def take(self, group: int) -> int:
        """Take the group out of its split, and say which that was."""
        split = int(self.split[group])
        self._add(group, split, -1)
        self.split[group] = -1
        return split

    def improve(self, group: int) -> bool:
        """Move the group if that makes the sum smaller; True if it moved."""
        label, rows = self.groups.of(group)
        if self.split[group] == 0 and (self._in_train[label] == rows).any():
            return False
        before = self.take(group)
        costs = self.costs(group)
        after = int(np.argmin(costs))
        moves = bool(costs[after] < costs[before] - _EQUAL)
        self.put(group, after if moves else before)
        return moves

    def give_train_every_label(self, group_sizes: NDArray[np.intp]) -> None:
        """Move the smallest group of each label that train would lack."""
        for group in np.argsort(group_sizes, kind="stable").tolist():
            label, _ = self.groups.of(group)
            if (self._in_train[label] == 0).any():
                self.take(group)
                self.put(group, 0)

    def _add(self, group: int, split: int, sign: int) -> None:
        label, rows = self.groups.of(group)
        self._excess[split, label] += sign * rows
        self._excess_of_all[split] += sign * rows.sum()
        if split == 0:
            self._in_train[label] += sign * rows
