"""Copies of the images in one folder per label, for people who look at folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def sort_into(predictions: pd.DataFrame, root: Path, folder: Path) -> int:
    """Copy each classified image to ``folder/<label>/``; returns the number of copies made.

    ``root`` is the folder that the refs in ``predictions`` are relative to.
    """
    raise NotImplementedError
