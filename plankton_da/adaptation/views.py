"""Randomly changed looks at images, drawn by row and seed."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plankton_da.images.augment import Augment
from plankton_da.images.cache import PixelSource

WHOLE = slice(None)


class View(Protocol):
    """Draws a batch; picklable, so that a process that loads batches can have it."""

    @property
    def good(self) -> NDArray[np.bool_]:
        """(N,): False where the image does not decode."""

    def draw(
        self, rows: NDArray[np.intp], seed: tuple[int, ...], part: slice = WHOLE
    ) -> NDArray[Any]:
        """(B, ...) for ``rows`` (B,): the same for the same seed, whatever was drawn before.

        Of a batch that is divided over processes, only ``part`` comes, as it is in the whole.
        """


class AugmentedImages:
    """Pixels augmented anew at every draw."""

    def __init__(self, source: PixelSource, augment: Augment) -> None:
        self._source = source
        self._augment = augment

    @property
    def good(self) -> NDArray[np.bool_]:
        """(N,): False where the image does not decode."""
        return self._source.good

    def draw(
        self, rows: NDArray[np.intp], seed: tuple[int, ...], part: slice = WHOLE
    ) -> NDArray[np.uint8]:
        """(B, C, H, W) uint8 for ``rows`` (B,), or ``part`` of them."""
        pixels = self._source.read_many(rows[part])  # (B, H, W, C)
        for index, position in enumerate(range(len(rows))[part]):
            pixels[index] = self._augment(pixels[index], (*seed, position))
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))  # (B, C, H, W)
