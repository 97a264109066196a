"""Randomly changed looks at images, drawn by row and seed."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plankton_da.images.augment import Augment
from plankton_da.images.cache import PixelSource


class View(Protocol):
    """Draws a batch; picklable, so that a process that loads batches can have it."""

    @property
    def good(self) -> NDArray[np.bool_]:
        """(N,): False where the image does not decode."""

    def draw(self, rows: NDArray[np.intp], seed: tuple[int, ...]) -> NDArray[Any]:
        """(B, ...) for ``rows`` (B,): the same for the same seed, whatever was drawn before."""


class AugmentedImages:
    """Pixels augmented anew at every draw."""

    def __init__(self, source: PixelSource, augment: Augment) -> None:
        self._source = source
        self._augment = augment

    @property
    def good(self) -> NDArray[np.bool_]:
        """(N,): False where the image does not decode."""
        return self._source.good

    def draw(self, rows: NDArray[np.intp], seed: tuple[int, ...]) -> NDArray[np.uint8]:
        """(B, C, H, W) uint8 for ``rows`` (B,)."""
        pixels = self._source.read_many(rows)  # (B, H, W, C)
        for position, image in enumerate(pixels):
            pixels[position] = self._augment(image, (*seed, position))
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))  # (B, C, H, W)
