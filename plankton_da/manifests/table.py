"""The table of images that passes between rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

REQUIRED = ("object_id", "image", "instrument")
OPTIONAL = ("label", "split", "group", "pixel_size_um", "licence")


@dataclass(frozen=True)
class Manifest:
    """A validated table: all columns strings, '' for empty; refs relative to ``root``."""

    table: pd.DataFrame
    root: Path
    path: Path | None
    fingerprint: str

    @classmethod
    def of(cls, table: pd.DataFrame, root: Path, path: Path | None = None) -> Manifest:
        """A manifest from a table that is already at hand."""
        raise NotImplementedError

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the cameras, sorted."""
        raise NotImplementedError

    def rows(self, split: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Rows of one split or several ('' = rows without split); None: all. Index kept."""
        raise NotImplementedError

    def column(self, name: str) -> pd.Series[str]:
        """A column, all '' where the table lacks it."""
        raise NotImplementedError


def read_manifest(path: Path | str) -> Manifest:
    """Read CSV or Parquet; ManifestError lists every problem."""
    raise NotImplementedError


def write_manifest(table: pd.DataFrame, path: Path | str, overwrite: bool = False) -> None:
    """Write CSV or Parquet, whole or not at all; OutputError where it exists or cannot be."""
    raise NotImplementedError


def fingerprint_of(table: pd.DataFrame) -> str:
    """sha256 of the content: the same for CSV and Parquet and any order of columns."""
    raise NotImplementedError
