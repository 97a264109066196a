"""Some rows of each class, chosen while all rows pass by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """A row that the page shows."""

    object_id: str
    image: str
    """ref, relative to the folder of the predictions file"""
    instrument: str
    label: str
    score: float | None
    raw_label: str
    error: str
    second_label: str
    second_score: float | None
    true_label: str


class Smallest:
    """The ``count`` rows of each class whose keys are smallest; of equal ones the first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._limits = np.empty(0)  # (classes so far,): what a key must be below
        self._kept: dict[int, list[tuple[float, Sample]]] = {}

    def offer(self, table: pa.Table, codes: NDArray[np.int64], keys: NDArray[np.float64]) -> None:
        """Rows (N,) of ``read_rows``, the number of the class of each, and its key (NaN: never)."""
        if not len(codes):
            return
        lacking = int(codes.max()) + 1 - len(self._limits)
        self._limits = np.append(self._limits, np.full(max(0, lacking), np.inf))
        rows = np.flatnonzero(keys < self._limits[codes])
        rows = rows[np.lexsort((rows, keys[rows], codes[rows]))]
        of = codes[rows]
        first = np.searchsorted(of, of)  # where the rows of the same class begin
        rows = rows[np.arange(len(rows)) - first < self._count]
        for row, sample in zip(rows.tolist(), samples_of(table, rows), strict=True):
            self._kept.setdefault(int(codes[row]), []).append((float(keys[row]), sample))
        for code in np.unique(codes[rows]).tolist():
            kept = sorted(self._kept[code], key=lambda pair: pair[0])[: self._count]
            self._kept[code] = kept
            if len(kept) == self._count:
                self._limits[code] = kept[-1][0]

    def of(self, code: int) -> list[Sample]:
        """The rows of one class, smallest key first."""
        return [sample for _, sample in self._kept.get(code, [])]


def samples_of(table: pa.Table, rows: NDArray[np.int64]) -> list[Sample]:
    """Some rows of ``read_rows``."""
    return [
        Sample(
            object_id=row["object_id"],
            image=row["image"],
            instrument=row["instrument"],
            label=row["label"],
            score=row["score"],
            raw_label=row["raw_label"],
            error=row["error"],
            second_label=row["label_2"],
            second_score=row["score_2"],
            true_label=row["true_label"],
        )
        for row in table.take(pa.array(rows)).to_pylist()
    ]
