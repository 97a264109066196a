"""Two cameras that look at the same water."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plankton_da.demo.drawing import Scene

MID_INSTRUMENT = "drawn_shadowgraph"
TARGET_INSTRUMENT = "drawn_darkfield"


def shadowgraph(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gray (H, W), dark on white."""
    raise NotImplementedError


def darkfield(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Colour (H, W, 3), bright on black."""
    raise NotImplementedError
