"""Plankton drawn by code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAXA = ("appendicularian", "chaetognath", "copepod", "detritus", "diatom_chain", "medusa")


@dataclass(frozen=True)
class Scene:
    """One organism in clear water, as a camera meets it."""

    taxon: str
    density: NDArray[np.float32]  # (H, W) optical density, 0 = clear water


def draw_scene(taxon: str, rng: np.random.Generator) -> Scene:
    """Draw one organism of a taxon in a random pose."""
    raise NotImplementedError
