"""A look at some images of a camera: has a server added scale bars, or stretched their levels?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from plankton_da.errors import ImageError
from plankton_da.images.eight_bit import eight_bit
from plankton_da.images.refs import open_image
from plankton_da.images.scale_bar import FOOTER_PX, has_scale_bar
from plankton_da.images.stretched import is_stretched
from plankton_da.manifests.columns import column_of

OPENED = 256
"""images of a camera at most"""
_MANY = 0.05  # of the images; fewer are organisms that look like a bar
_MOST = 0.5  # of the images; a camera's own ones are hardly ever as if stretched


@dataclass
class Look:
    """What images that were opened look like."""

    opened: int = 0
    """images, damaged ones included"""
    with_bar: int = 0
    stretched: int = 0
    damaged: dict[int, ImageError] = field(default_factory=dict)
    """row, from 0 -> why"""


def look_at(images: pd.Series[str], root: Path) -> Look:
    """Open at most 256 images, evenly spread over the refs."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(OPENED, len(images)), dtype=np.int64))
    look = Look(len(rows))
    for row in rows.tolist():
        try:
            image = eight_bit(open_image(images.iloc[row], root), ground=255)
        except ImageError as problem:
            look.damaged[row] = problem
        else:
            gray = np.asarray(image.convert("L"))
            look.with_bar += has_scale_bar(gray)
            look.stretched += is_stretched(gray)
    return look


def remarks_on(look: Look, instrument: str) -> list[str]:
    """What is to be said of a camera's images, with the way out."""
    good = look.opened - len(look.damaged)
    return [
        *_on_bars(look.with_bar, good, instrument),
        *_on_levels(look.stretched, good, instrument),
    ]


def _on_levels(stretched: int, good: int, instrument: str) -> list[str]:
    if stretched <= _MOST * good:
        return []
    return [
        f"{instrument}: the gray levels of {stretched} of {good} images that were looked at were "
        "stretched, each image's to full contrast, as exports for people do; images straight from "
        "the camera look otherwise. Use its own files instead (of an IFCB: manifest build ifcb)"
    ]


def _on_bars(with_bar: int, good: int, instrument: str) -> list[str]:
    if with_bar <= _MANY * good:
        return []
    found = (
        f"{instrument}: a scale bar is burnt into the bottom {FOOTER_PX} pixels of {with_bar} "
        f"of {good} images that were looked at; a network would know the camera by it"
    )
    if with_bar < (1 - _MANY) * good:
        return [
            f"{found}. Not all have it: build one manifest of those with and one of those without, "
            "under different instrument names, and crop the former"
        ]
    return [
        f"{found}. Crop it in the config: data: {{preprocess: {{instruments: {{{instrument}: "
        f"{{crop: {{bottom: {FOOTER_PX}}}}}}}}}}}"
    ]


def look_remarks(table: pd.DataFrame, root: Path) -> list[str]:
    """Remarks on every camera of a manifest."""
    remarks: list[str] = []
    instruments = column_of(table, "instrument")
    for name in sorted(instruments.unique()):
        remarks.extend(remarks_on(look_at(table["image"][instruments == name], root), name))
    return remarks
