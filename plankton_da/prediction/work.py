"""The images that have no row yet, through the model and into parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from plankton_da.errors import DataError
from plankton_da.prediction.ledger import Ledger, keys_of
from plankton_da.prediction.pipeline import Batch
from plankton_da.prediction.predictions import prediction_rows, prediction_schema
from plankton_da.prediction.progress import Progress

if TYPE_CHECKING:
    from plankton_da.networks.bundle import BundleInfo
    from plankton_da.prediction.inputs import Inputs, Item
    from plankton_da.prediction.order import Order

log = logging.getLogger(__name__)

_PART_SECONDS = 30.0
_OUT_OF_REACH = ("missing", "permission_denied", "unreadable")


class Backend(Protocol):
    """Who opens and classifies images; used in a ``with`` block."""

    @property
    def made(self) -> dict[str, Any]:
        """Provenance of the rows so far."""

    def __enter__(self) -> Backend: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def classify(self, items: Iterator[Item]) -> Generator[Batch]:
        """Consecutive items and what became of them, in order."""


class Work:
    """What there is to do, and how much of it was done."""

    def __init__(
        self,
        ledger: Ledger,
        order: Order,
        info: BundleInfo,
        top_k: int,
        all_scores: bool,
        part_rows: int,
        entropy_limit: float,
    ) -> None:
        """``part_rows``: rows after which a part is written.

        ``entropy_limit``: of ``prediction_rows``.
        """
        self.schema = prediction_schema(info.classes, top_k, all_scores)
        """of the rows"""
        self.classified = 0
        self.seconds = 0.0
        self._ledger = ledger
        self._order = order
        self._info = info
        self._top_k = top_k
        self._all_scores = all_scores
        self._part_rows = part_rows
        self._entropy_limit = entropy_limit
        self._batches: list[Batch] = []
        self._write_before = 0.0
        self._made: dict[str, Any] = {}

    def run(self, inputs: Inputs, open_backend: Callable[[], Backend], progress: bool) -> None:
        """Do it. The backend, and with it the model, is opened only if there is something to do.

        Raises
        ------
        DataError
            An INPUT was lost on the way.
        OutputError
            A part cannot be written.
        """
        items = self._order.unfinished()
        first = next(items, None)
        if first is not None:
            with open_backend() as backend:
                made = backend.made
                log.info("engine %s on %s", made["engine"], made["device"])
                self._classify(chain([first], items), inputs, backend, progress)
        inputs.check_still_there()

    def _classify(
        self, items: Iterator[Item], inputs: Inputs, backend: Backend, progress: bool
    ) -> None:
        started = time.monotonic()
        self._write_before = started  # so that a place that cannot be written is noticed at once
        batches = backend.classify(items)
        with Progress(inputs.count, show=progress) as bar, closing(batches):
            try:
                for batch in batches:
                    if any(error.startswith(_OUT_OF_REACH) for error in batch.errors if error):
                        inputs.check_still_there()
                    self._made = backend.made
                    self._add(batch)
                    bar.update(len(batch.items), self._order.finished_before)
            except (KeyboardInterrupt, DataError):
                self._write()
                raise
            self._write()
        self.seconds = time.monotonic() - started

    def _add(self, batch: Batch) -> None:
        self._batches.append(batch)
        rows = sum(len(waiting.items) for waiting in self._batches)
        if rows >= self._part_rows or time.monotonic() >= self._write_before:
            self._write()

    def _write(self) -> None:
        if not self._batches:
            return
        items = [item for batch in self._batches for item in batch.items]
        frame = prediction_rows(
            [item.object_id for item in items],
            [item.image for item in items],
            [item.instrument for item in items],
            np.concatenate([batch.probabilities for batch in self._batches]),
            [error for batch in self._batches for error in batch.errors],
            self._info.classes,
            self._info.thresholds,
            self._top_k,
            self._all_scores,
            self._entropy_limit,
        )
        rows = pa.Table.from_pandas(frame, self.schema, preserve_index=False)
        keys = keys_of(self._order.waiting_keys(len(items)))
        self._order.settle(len(items), self._ledger.append(keys, rows, self._made))
        self.classified += len(items)
        self._batches = []
        self._write_before = time.monotonic() + _PART_SECONDS
