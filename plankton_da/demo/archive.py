"""A small archive of both cameras on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoArchive:
    """Where ``write_archive`` put things."""

    folder: Path
    mid: Path  # mid/<class>/*.png, the labelled archive
    target_pool: Path  # target/unlabelled/*.png, flat: for training and for classify
    target_test: Path  # target/test/<class>/*.png, labelled, only to measure
    truth: Path  # truth.csv: image,instrument,label of every image, the pool's too


def write_archive(
    folder: Path,
    *,
    seed: int,
    mid_per_class: int = 100,
    target_images: int = 600,
    target_test_images: int = 300,
    proportions: Mapping[str, float] | None = None,
) -> DemoArchive:
    """Draw both cameras' images."""
    raise NotImplementedError
