"""What every format hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class IngestResult:
    """The table of a new manifest and what is not in it.

    ``failed`` are (place, why) of what should have given rows and cannot be read; the place is a
    path, with ``:LINE`` where the file has lines. ``skipped`` are (path, why) of what somebody may
    have taken for an image and is none; ``hidden`` counts files and folders that nobody does (names
    with a leading dot, Thumbs.db and the like). ``remarks`` are sentences about what was read.
    """

    table: pd.DataFrame
    skipped: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
