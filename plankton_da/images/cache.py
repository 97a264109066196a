"""Preprocessed pixels of many images, kept in a memory map or decoded on each read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images.preprocess import Preprocess


class PixelSource:
    good: NDArray[np.bool_]
    problems: dict[int, ImageError]

    def __len__(self) -> int: ...
    def read(self, row: int) -> NDArray[np.uint8]: ...
    def read_many(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]: ...


def open_pixels(
    refs: Sequence[str],
    roots: Path | Sequence[Path],
    instruments: str | Sequence[str],
    preprocess: Preprocess,
    *,
    folder: Path | None = None,
    workers: int = 0,
    on_bad_image: Literal["error", "skip"] = "error",
    progress: bool = False,
) -> PixelSource: ...
