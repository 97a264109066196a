"""Reading and classifying on this machine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from plankton_da.images.guarded import GuardedDecoders
from plankton_da.images.preprocess import Preprocess
from plankton_da.prediction.inputs import Inputs, Item
from plankton_da.prediction.pipeline import Batch, classify_items
from plankton_da.prediction.polarity_check import PolarityCheck
from plankton_da.prediction.predictor import Predictor, available_cores
from plankton_da.prediction.provenance import provenance


class LocalBackend:
    """One predictor in this process, with processes beside it that decode; in a ``with`` block."""

    def __init__(
        self,
        preprocess: Preprocess,
        inputs: Inputs,
        opened: Callable[[], Predictor],
        image_timeout: float,
    ) -> None:
        """``opened`` makes the predictor; ``image_timeout``: seconds that an image may take."""
        self.made: dict[str, Any] = {}
        self._preprocess = preprocess
        self._inputs = inputs
        self._opened = opened
        self._image_timeout = image_timeout
        self._stack = ExitStack()

    def __enter__(self) -> LocalBackend:
        with ExitStack() as stack:
            # before the model, so that both start at once
            self._decoders = stack.enter_context(
                GuardedDecoders(
                    self._preprocess, self._inputs.folder, available_cores(), self._image_timeout
                )
            )
            self._predictor = self._opened()
            for name in self._inputs.instruments:
                self._predictor.check_instrument(name)
            self.made = provenance(self._predictor, self._image_timeout)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def classify(self, items: Iterator[Item]) -> Generator[Batch]:
        """The items in batches, in order, with what became of them."""
        check = PolarityCheck(self._predictor.preprocess)
        return classify_items(items, self._predictor, self._inputs.folder, self._decoders, check)
