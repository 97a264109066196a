"""Images whose gray levels an export stretched, each to full contrast: no camera writes such."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ENDS = 0.01  # of the pixels; more are a scanner's white ground or a sensor's limit
_CENTRE = (0.05, 0.95)  # of the pixels; between, levels are well filled
_LEAST_LEVELS = 32  # between them; fewer say nothing
_REACH = 3  # levels; widest gap: images of a quarter of the contrast
_FILLED = 8  # pixels on each side of a gap; among fewer, a gap is chance
_GAPS = 0.02  # of the levels


def is_stretched(pixels: NDArray[np.uint8]) -> bool:
    """Whether the levels just reach 0 and 255, with gaps all over among those between.

    Gaps are what is left where fewer levels were spread over 256.

    Parameters
    ----------
    pixels
        gray image, uint8, (H, W); as it was before JPEG, which fills gaps
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    if not 0 < counts[[0, 255]].min() <= counts[[0, 255]].max() <= _ENDS * pixels.size:
        return False
    low, high = np.searchsorted(counts.cumsum() / counts.sum(), _CENTRE)
    if high - low < _LEAST_LEVELS:
        return False
    filled = np.pad(counts >= _FILLED, _REACH)
    windows = np.lib.stride_tricks.sliding_window_view(filled, _REACH)
    below, above = windows[:256].any(axis=1), windows[_REACH + 1 :].any(axis=1)
    gaps = (counts == 0) & below & above  # (256,)
    return bool(gaps[low : high + 1].mean() > _GAPS)
