"""How far the work is: a bar on a terminal, a log line a minute elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)

_LOG_EVERY = 60.0  # seconds


class Progress:
    """Rate and remaining time on stderr; used in a ``with`` block.

    The total is counted beside the work, since a walk through millions of files takes long.
    """

    def __init__(self, count: Callable[[], int], *, show: bool, verb: str = "classified") -> None:
        """``count`` gives the number of all images, finished ones included.

        ``verb`` says what happens to them.
        """
        self._count = count
        self._show = show
        self._verb = verb
        self._total: int | None = None
        self._finished_before = 0
        self._done = 0
        self._bar: tqdm[NoReturn] | None = None
        self._started = self._logged = time.monotonic()

    def __enter__(self) -> Progress:
        if self._show:
            threading.Thread(target=self._count_all, name="count", daemon=True).start()
        if self._show and sys.stderr.isatty():
            from tqdm import tqdm

            columns, lines = os.get_terminal_size(sys.stderr.fileno())
            known = columns > 0 and lines > 0  # else tqdm shows nothing
            self._bar = tqdm(
                unit=" images",
                file=sys.stderr,
                smoothing=0.1,
                dynamic_ncols=known,
                ncols=None if known else 80,
                nrows=None if known else 24,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, classified: int, finished_before: int) -> None:
        """``classified`` more images are done; ``finished_before`` rows were found so far."""
        self._done += classified
        self._finished_before = finished_before
        left = None if self._total is None else self._total - finished_before
        if self._bar is not None:
            self._bar.total = left
            self._bar.update(classified)
        elif self._show and time.monotonic() - self._logged >= _LOG_EVERY:
            self._log(left)

    def _log(self, total: int | None) -> None:
        self._logged = time.monotonic()
        rate = self._done / (self._logged - self._started)
        words = f"{self._done:,} images {self._verb}, {rate:,.0f} images/s"
        if total is not None:
            minutes = (total - self._done) / rate / 60
            words += f", {total - self._done:,} to go, {minutes:,.0f} minutes left"
        log.info(words)

    def _count_all(self) -> None:
        self._total = self._count()
