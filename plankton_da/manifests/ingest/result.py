"""What every format hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class IngestResult:
    """The table of a new manifest and what was left out of it.

    ``skipped`` are (path, why) of what somebody may have taken for an image; ``hidden`` counts
    files and folders that nobody does (names with a leading dot, Thumbs.db and the like).
    """

    table: pd.DataFrame
    skipped: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0
