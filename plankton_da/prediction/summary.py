"""What a run of ``classify`` came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ClassifySummary:
    """What ``classify`` did; ``to_json`` is the document of ``classify --json``."""

    out: Path
    images: int
    """rows in the result"""
    classified: int
    """images that were looked at this time, failed ones included"""
    reused: int
    """rows that were finished before"""
    labels: dict[str, int]
    """label -> rows, most frequent first"""
    errors: dict[str, int]
    """error code -> rows, most frequent first"""
    seconds: float
    images_per_second: float
    """of this time; 0 where nothing was classified"""
    engine: str
    """onnx or torch; of the latest run that classified something"""
    device: str
    model: str
    """``bundle_hash`` of the bundle"""

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return sum(self.errors.values())

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "out": str(self.out),
            "images": self.images,
            "classified": self.classified,
            "reused": self.reused,
            "failed": self.failed,
            "labels": self.labels,
            "errors": self.errors,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images_per_second, 1),
            "engine": self.engine,
            "device": self.device,
            "model": self.model,
        }

    def words(self) -> str:
        """The same in one line."""
        labels = ", ".join(f"{label} {count:,}" for label, count in self.labels.items())
        errors = ", ".join(f"{code} {count:,}" for code, count in self.errors.items())
        speed = f"{self.images_per_second:,.0f} images/s, " if self.classified else ""
        out = str(self.out).encode("utf-8", "backslashreplace").decode()
        return (
            f"{out}: {self.images:,} images ({self.classified:,} classified now): "
            f"{labels or 'none classified'}; "
            f"failed {self.failed:,}{f' ({errors})' if errors else ''}; "
            f"{speed}engine {self.engine} on {self.device}, "
            f"{self.seconds:.1f} s"
        )
