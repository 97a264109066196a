"""Whether an instrument shows dark organisms on light ground or the reverse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plankton_da.config import InstrumentPreprocessConfig
from plankton_da.images.preprocess import InstrumentLook

Polarity: TypeAlias = Literal["dark_on_light", "light_on_dark"]


def estimate_polarity(images: Iterable[NDArray[np.uint8]]) -> tuple[Polarity, float]: ...
def find_look(
    settings: InstrumentPreprocessConfig, refs: Sequence[str], roots: Path | Sequence[Path]
) -> InstrumentLook: ...
