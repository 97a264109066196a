"""Label maps: what a lab calls an image -> the class that the network learns."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def read_taxonomy(path: Path | str) -> dict[str, str]:
    """Label -> class of a CSV with the columns label,class; '' drops the row."""
    raise NotImplementedError


def apply_taxonomy(table: pd.DataFrame, taxonomy: dict[str, str]) -> pd.DataFrame:
    """A copy with classes as labels, without the rows that the map drops; index kept."""
    raise NotImplementedError
