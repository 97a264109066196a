"""What varies between cameras, varied on purpose (the only user of albumentations)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray


class Augment:
    def __call__(self, pixels: NDArray[np.uint8], seed: tuple[int, ...]) -> NDArray[np.uint8]: ...


def build_augmentation(preset: Literal["instrument", "none"], image_size: int) -> Augment: ...
