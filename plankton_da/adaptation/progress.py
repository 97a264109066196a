"""What somebody who waits for a training run sees, and the numbers behind it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

LOG_EVERY = 10
"""steps between two records of the training scalars"""
_SECONDS_BETWEEN_LINES = 30

log = logging.getLogger(__name__)


class Meter:
    """Means of a step's scalars since the last reading; no device waits before ``read``."""

    def __init__(self, sums: Mapping[str, Tensor] | None = None, steps: int = 0) -> None:
        """Go on from the ``state`` of an earlier one, if it is given."""
        self._sums: dict[str, Tensor] = dict(sums or {})
        self._steps = steps

    def state(self) -> dict[str, Any]:
        """What a new one needs to go on."""
        return {"sums": self._sums, "steps": self._steps}

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Add one step's scalars, each ()."""
        for name, value in scalars.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
        self._steps += 1

    def read(self) -> dict[str, float]:
        """Means by name, and start anew."""
        values = torch.stack(list(self._sums.values())).tolist()  # the one wait for the device
        means = {name: total / self._steps for name, total in zip(self._sums, values, strict=True)}
        self._sums, self._steps = {}, 0
        return means


class ProgressLine:
    """A bar on a terminal, else a log line now and then; both on stderr."""

    def __init__(self, start: int, steps: int, images_per_step: int, *, show: bool) -> None:
        self._steps = steps
        self._images_per_step = images_per_step
        self._scalars: dict[str, float] = {}
        self._accuracies: dict[str, float] = {}
        self._first = start
        self._done = start
        self._began = self._last_line = time.monotonic()
        self._evaluating = 0.0  # seconds that went into evaluations, not into steps
        self._show = show
        self._bar = tqdm(
            total=steps,
            initial=start,
            unit="step",
            disable=not (show and sys.stderr.isatty()),
            file=sys.stderr,
            dynamic_ncols=True,
        )

    def advance(self) -> None:
        """One step is done."""
        self._done += 1
        self._bar.update()

    def report(self, scalars: dict[str, float]) -> None:
        """New means of the training scalars."""
        self._scalars = scalars
        self._bar.set_postfix_str(self._words())
        now = time.monotonic()
        if self._show and self._bar.disable and now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            remaining = (self._steps - self._done) / self._steps_per_second()
            log.info(
                "step %d/%d, %s left, %s",
                *(self._done, self._steps, tqdm.format_interval(remaining), self._words()),
            )

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """An evaluation, whose time does not count as the steps'."""
        began = time.monotonic()
        yield
        self._evaluating += time.monotonic() - began

    def evaluated(self, accuracies: dict[str, float]) -> None:
        """Mid val accuracy per instrument."""
        self._accuracies = accuracies
        with self._bar.external_write_mode(file=sys.stderr):
            log.info("step %d/%d evaluated: %s", self._done, self._steps, self._words())

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _steps_per_second(self) -> float:
        seconds = time.monotonic() - self._began - self._evaluating
        return (self._done - self._first) / max(seconds, 1e-9)

    def _words(self) -> str:
        rate = self._steps_per_second() * self._images_per_step
        parts = [f"{rate:.0f} images/s"]
        parts += [f"{name.replace('_', ' ')} {value:.3f}" for name, value in self._scalars.items()]
        parts += [f"{name} val accuracy {value:.3f}" for name, value in self._accuracies.items()]
        return ", ".join(parts)
