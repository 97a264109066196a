"""The local driver: inputs in, one file with one row per image out, losing none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plankton_da.prediction.predictor import Device, Engine, Predictor


@dataclass(frozen=True)
class ClassifySummary:
    """What ``classify`` did; ``to_json`` is the document of ``classify --json``."""

    out: Path
    images: int
    """rows in the result"""
    classified: int
    """images that went through the model this time"""
    reused: int
    """rows that were finished before"""
    labels: dict[str, int]
    """label -> rows, most frequent first"""
    errors: dict[str, int]
    """error code -> rows, most frequent first"""
    seconds: float
    images_per_second: float
    engine: str
    """onnx or torch; of the latest run that classified something"""
    model: str
    """bundle_hash of the bundle"""

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return sum(self.errors.values())

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        raise NotImplementedError


def classify(
    bundle: Path,
    inputs: Sequence[Path],
    out: Path,
    *,
    engine: Engine = "auto",
    device: Device = "auto",
    instrument: str | None = None,
    top_k: int = 1,
    all_scores: bool = False,
    sort_into: Path | None = None,
    overwrite: bool = False,
    batch_size: int = 32,
    part_rows: int = 2048,
    progress: bool = True,
    open_predictor: Callable[[], Predictor] | None = None,
) -> ClassifySummary:
    """Classify every image of ``inputs`` into ``out`` (.csv or .parquet), one row each."""
    raise NotImplementedError
