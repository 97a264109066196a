"""A look at some images of an archive: are they whole, and has a server burnt a scale bar in?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from plankton_da.errors import ImageError
from plankton_da.images.eight_bit import eight_bit
from plankton_da.images.refs import open_image
from plankton_da.images.scale_bar import FOOTER_PX, has_scale_bar

OPENED = 256
"""images at most; ``manifest check --open-images`` opens all"""
_MANY = 0.05  # of the images; fewer are organisms that look like a bar


def look_at_images(
    images: pd.Series[str], root: Path, instrument: str
) -> tuple[dict[int, ImageError], list[str]]:
    """Open images evenly spread over the refs; rows that do not decode, and what is to be said."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(OPENED, len(images)), dtype=np.int64))
    bad: dict[int, ImageError] = {}
    bars = 0
    for row in rows.tolist():
        try:
            image = eight_bit(open_image(images.iloc[row], root), ground=255)
        except ImageError as problem:
            bad[row] = problem
        else:
            bars += has_scale_bar(np.asarray(image.convert("L")))
    remarks = []
    good = len(rows) - len(bad)
    if bars > _MANY * good:
        remarks.append(
            f"a scale bar is burnt into the bottom {FOOTER_PX} pixels of {bars} of {good} images "
            f"that were opened: a network would know the camera by it. Crop it in the config: "
            f"data: {{preprocess: {{instruments: {{{instrument}: {{crop: {{bottom: {FOOTER_PX}}}}}"
            "}}}"
        )
        if bars < (1 - _MANY) * good:
            remarks.append(
                "not all images have it: build one manifest for those with and one for those "
                "without, under different instrument names"
            )
    if bad:
        remarks.append(
            f"{len(bad)} of {len(rows)} images that were opened are damaged; "
            "plankton-da manifest check --open-images opens all"
        )
    return bad, remarks
