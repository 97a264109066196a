"""The one way from an opened image to the pixels that the network sees."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict


class InstrumentLook(BaseModel):
    """What is special about one instrument's images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invert: bool = False
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """pixels cut off (top, bottom, left, right)"""
    polarity: Literal["dark_on_light", "light_on_dark"] = "dark_on_light"
    polarity_votes: float = 1.0


class Preprocess(BaseModel):
    """Every step from an opened image to pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int
    color: Literal["gray", "rgb"] = "gray"
    pad: Literal["border_median"] = "border_median"
    resample: Literal["area"] = "area"
    bit_depth: Literal["full_range"] = "full_range"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    instruments: dict[str, InstrumentLook] = {}

    @property
    def channels(self) -> int: ...
    def __call__(self, image: Image.Image, instrument: str) -> NDArray[np.uint8]: ...
    def hash(self) -> str: ...


def gray_pixels(image: Image.Image) -> NDArray[np.uint8]: ...
