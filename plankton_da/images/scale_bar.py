"""Scale bars that servers burn into the bottom of images: the same on each, and on no other camera.

EcoTaxa and ZooProcess add a footer below the picture: a plain ground (white or black) with a length
in words over a bar that starts near the left edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOOTER_PX = 31
"""height of the footer, the same on vignettes of every size"""
_BAR_ROWS = 10  # the bar lies in the last rows
_BAR_START = 16  # px from the left edge, at most
_BAR_LENGTH = 12  # px, at least
_CONTRAST = 60  # of 255, between ground and ink; less is JPEG noise


def has_scale_bar(pixels: NDArray[np.uint8]) -> bool:
    """Whether the bottom 31 rows are a footer with a scale bar.

    Parameters
    ----------
    pixels
        gray image, uint8, (H, W); not scaled since the server made it
    """
    height, width = pixels.shape
    if height <= FOOTER_PX or width <= _BAR_START + _BAR_LENGTH:
        return False
    footer = pixels[-FOOTER_PX:].astype(np.int16)  # (31, W)
    ground = float(np.median(footer))
    if _CONTRAST < ground < 255 - _CONTRAST:
        return False
    ink = np.abs(footer - ground) > _CONTRAST
    if ink[0].any() or ink[-1].any() or ink.mean() > 0.35:
        return False
    bars = [_bar(row) for row in ink[-_BAR_ROWS:]]
    start, end = max(bars, key=lambda bar: bar[1] - bar[0])
    if end - start < _BAR_LENGTH or start > _BAR_START:
        return False
    thick = [bar for bar in bars if bar[1] - bar[0] >= _BAR_LENGTH]
    words = ink[:-_BAR_ROWS, : start + 60]
    return len(thick) <= 4 and bool(words.any()) and not ink[:, max(end + 3, start + 60) :].any()


def _bar(row: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end of the first run of ink in a row; (0, 0) where there is none."""
    if not row.any():
        return 0, 0
    start = int(row.argmax())
    gaps = np.flatnonzero(~row[start:])
    return start, start + int(gaps[0]) if len(gaps) else len(row)
