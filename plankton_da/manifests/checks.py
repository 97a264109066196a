"""Everything that can be wrong with a manifest, found before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from plankton_da.manifests.problems import Problem, Problems
from plankton_da.manifests.table import Manifest


@dataclass(frozen=True)
class CheckReport:
    """What a check found. ``counts``: columns instrument, split, label, n."""

    path: Path
    rows: int
    fingerprint: str
    problems: list[Problem]
    totals: dict[str, int]
    counts: pd.DataFrame


def check_manifest(
    path: Path | str,
    open_images: bool = False,
    taxonomy: Path | str | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> CheckReport:
    """Every problem of one manifest file."""
    raise NotImplementedError


def check_pair(
    mid: Manifest | Sequence[Manifest], target: Manifest | Sequence[Manifest]
) -> Problems:
    """Every reason why these cannot be trained on together; ``.raise_if_any()`` raises them."""
    raise NotImplementedError
