"""Folders of image files, one sub-folder per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

SUMMARY = "folders of image files; a sub-folder is a label"


@dataclass(frozen=True)
class IngestResult:
    """The table of a new manifest, and what was left out: (path, why)."""

    table: pd.DataFrame
    skipped: list[tuple[str, str]]


def build(inputs: Sequence[Path], instrument: str, out: Path, *, labelled: bool) -> IngestResult:
    """Rows for every image file below the inputs; refs are relative to the folder of ``out``."""
    raise NotImplementedError
