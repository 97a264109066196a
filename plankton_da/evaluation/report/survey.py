"""What a predictions file holds, found in one pass with little memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.errors import DataError
from plankton_da.evaluation.report.rows import read_rows
from plankton_da.evaluation.report.samples import Sample, Smallest
from plankton_da.prediction.predictions import UNCLASSIFIED

BINS = 20
"""of a histogram of scores, each 0.05 wide"""
MOST_SAMPLES = 24
"""of one kind and class"""
_SEED = 0


class Survey:
    """Counts, histograms and samples of all rows; ``add`` takes them table by table."""

    def __init__(self) -> None:
        self.images = 0
        self.rows: Counter[tuple[str, str, str]] = Counter()
        """(instrument, label, true label or '') -> classified images"""
        self.failures: Counter[tuple[str, str]] = Counter()
        """(instrument, error code) -> images that failed"""
        self._labels: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._histograms = np.zeros((0, BINS), np.int64)
        self._surest = Smallest(MOST_SAMPLES)
        self._least_sure = Smallest(MOST_SAMPLES)
        self._random = Smallest(MOST_SAMPLES)
        self._wrong = Smallest(MOST_SAMPLES)
        self._failed = Smallest(MOST_SAMPLES)
        self._chance = np.random.default_rng(_SEED)

    def add(self, table: pa.Table) -> None:
        """Take in rows as ``read_rows`` gives them."""
        failed = pc.not_equal(table["error"], "")
        self._add_failed(table.filter(failed))
        self._add_classified(table.filter(pc.invert(failed)))
        self.images += len(table)

    def _add_classified(self, table: pa.Table) -> None:
        self.rows.update(_counted(table, ("instrument", "label", "true_label")))
        codes = _numbered(table["label"], self._labels)
        missing = len(self._labels) - len(self._histograms)
        self._histograms = np.vstack([self._histograms, np.zeros((missing, BINS), np.int64)])
        scores = table["score"].to_numpy().astype(np.float64)  # (N,), NaN where there is none
        known = ~np.isnan(scores)
        bins = np.minimum(scores[known] * BINS, BINS - 1).astype(np.int64)
        np.add.at(self._histograms, (codes[known], bins), 1)
        self._surest.offer(table, codes, -scores)
        self._least_sure.offer(table, codes, scores)
        self._random.offer(table, codes, self._chance.random(len(table)))
        true, label = table["true_label"], table["label"]
        wrong = pc.and_(pc.not_equal(true, ""), pc.not_equal(true, label))
        # an abstention is no mistake that a picture would explain
        wrong = pc.and_(wrong, pc.not_equal(label, UNCLASSIFIED)).to_numpy()
        keys = np.full(len(table), np.nan)
        keys[wrong] = -scores[wrong]
        self._wrong.offer(table, codes, keys)

    def _add_failed(self, table: pa.Table) -> None:
        if not len(table):
            return
        error = pc.list_element(pc.split_pattern(table["error"], ":", max_splits=1), 0)
        table = table.append_column("code", error)
        self.failures.update(_counted(table, ("instrument", "code")))
        codes = _numbered(table["code"], self._codes)
        self._failed.offer(table, codes, np.arange(len(table), dtype=np.float64) + self.images)

    @property
    def failed(self) -> int:
        """Images without a label."""
        return self.failures.total()

    def labels(self) -> dict[str, int]:
        """Label -> images, most frequent first."""
        counts: Counter[str] = Counter()
        for (_, label, _), n in self.rows.items():
            counts[label] += n
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def errors(self) -> dict[str, int]:
        """Error code -> images, most frequent first."""
        counts: Counter[str] = Counter()
        for (_, code), n in self.failures.items():
            counts[code] += n
        return dict(counts.most_common())

    def histogram(self, label: str | None = None) -> NDArray[np.int64]:
        """Images by score, (BINS,); of one label or of all."""
        if label is None:
            return np.asarray(self._histograms.sum(axis=0))
        return np.asarray(self._histograms[self._labels[label]])

    def surest(self, label: str) -> list[Sample]:
        """Images of a label, best score first."""
        return self._surest.of(self._labels[label])

    def least_sure(self, label: str) -> list[Sample]:
        """Images of a label, lowest score first."""
        return self._least_sure.of(self._labels[label])

    def random(self, label: str) -> list[Sample]:
        """Images of a label, drawn by chance; the same file gives the same ones."""
        return self._random.of(self._labels[label])

    def wrong(self, label: str) -> list[Sample]:
        """Images of another true label that were given this one, best score first."""
        return self._wrong.of(self._labels[label])

    def failed_samples(self, code: str) -> list[Sample]:
        """The first images that failed for a reason."""
        return self._failed.of(self._codes[code])


def survey(path: Path) -> Survey:
    """Read a predictions file once, from beginning to end.

    Raises
    ------
    ManifestError
        It is no predictions file, or has problems; all are listed.
    DataError
        It has no rows.
    """
    return survey_of(read_rows(path), str(path))


def survey_of(tables: Iterable[pa.Table], what: str) -> Survey:
    """Take in all ``tables`` of ``what``, whose name is for the message."""
    found = Survey()
    for table in tables:
        found.add(table)
    if not found.images:
        raise DataError(f"{what}: has no rows: there is nothing to report; classify some images")
    return found


def _counted(table: pa.Table, names: tuple[str, ...]) -> dict[Any, int]:
    """Rows by their values in the columns."""
    groups = table.group_by(list(names)).aggregate([([], "count_all")])
    keys = zip(*(groups[name].to_pylist() for name in names), strict=True)
    return dict(zip(keys, groups["count_all"].to_pylist(), strict=True))


def _numbered(column: pa.ChunkedArray, numbers: dict[str, int]) -> NDArray[np.int64]:
    """The values (N,) as numbers; new ones get the next."""
    encoded = pa.chunked_array(column.chunks, pa.string()).combine_chunks().dictionary_encode()
    of = [numbers.setdefault(text, len(numbers)) for text in encoded.dictionary.to_pylist()]
    numbered: NDArray[np.int64] = np.array(of, np.int64)[encoded.indices.to_numpy()]
    return numbered
