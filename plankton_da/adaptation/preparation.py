"""From a config to the images and labels of one training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plankton_da.adaptation.few_labels import without_labels_of
from plankton_da.adaptation.image_sets import ImageReader, ImageSet, oracle_sets
from plankton_da.adaptation.rows import read_rows
from plankton_da.adaptation.scale import in_scale
from plankton_da.adaptation.source_free import preprocess_of_start
from plankton_da.adaptation.tables import find_looks
from plankton_da.config import Config
from plankton_da.errors import DataError
from plankton_da.images.preprocess import Preprocess
from plankton_da.manifests.table import Manifest
from plankton_da.networks.bundle import BundleInfo

__all__ = ["ImageSet", "TrainingData", "prepare"]


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from, chooses by and reports on."""

    classes: tuple[str, ...]
    preprocess: Preprocess
    mid_train: ImageSet
    """none where a run is source-free"""
    mid_val: ImageSet
    """none where a run is source-free"""
    target_train: ImageSet
    """labels are -1, whatever the manifest says"""
    oracle: dict[str, ImageSet]
    """split -> labelled target images; reported with the prefix ``oracle/``"""
    audit: ImageSet | None
    few: ImageSet | None
    """labelled target images that are trained on"""
    mid: list[Manifest]
    target: list[Manifest]
    bad_images: dict[str, str]
    """path of the image -> why it was left out"""
    class_balanced: bool
    """whether mid's classes are equally frequent in the batches"""
    start: BundleInfo | None = None
    """of a source-free run: the bundle that stands for mid"""

    @property
    def mid_instruments(self) -> tuple[str, ...]:
        if self.start is not None:
            return self.start.mid_instruments
        return tuple(sorted({name for manifest in self.mid for name in manifest.instruments}))

    @property
    def target_instruments(self) -> tuple[str, ...]:
        return tuple(sorted({name for manifest in self.target for name in manifest.instruments}))

    @property
    def priors(self) -> dict[str, float]:
        """Class -> share in mid's training images."""
        if self.start is not None:
            return self.start.priors
        counts = np.bincount(self.mid_train.labels, minlength=len(self.classes))
        return dict(zip(self.classes, (counts / counts.sum()).tolist(), strict=True))

    @property
    def learnt_shares(self) -> list[float]:
        """(K,) class shares in mid's batches."""
        if self.class_balanced:
            return [1 / len(self.classes)] * len(self.classes)
        return list(self.priors.values())


def prepare(
    config: Config,
    normalisation: tuple[Sequence[float], Sequence[float]],
    cache_folder: Path,
    *,
    progress: bool,
    start: BundleInfo | None = None,
) -> TrainingData:
    """Read manifests, settle labels, splits and preprocessing, and decode the images once.

    Parameters
    ----------
    normalisation
        Mean and standard deviation per channel that the backbone expects.
    cache_folder
        Where decoded images are kept between runs.
    start
        Where ``data.mid`` is null: the bundle that stands for mid.

    Raises
    ------
    ManifestError
        A manifest has problems, or the manifests do not belong together; all are listed.
    DataError
        Images do not decode and ``data.on_bad_image`` is ``error``, or ``scale: physical`` and
        pixel sizes are not known.
    ConfigError
        The config names an instrument or a taxonomy that is not there.
    """
    start = start if config.data.mid is None else None
    rows = read_rows(config, start)
    mid_table, target_table, audit_table, few_table = rows.mid, rows.target, rows.audit, rows.few
    classes = rows.classes
    looks = find_looks(config, pd.concat([mid_table, target_table]))
    mean, std = normalisation
    if start is not None:
        preprocess = preprocess_of_start(start, looks)
    else:
        preprocess = Preprocess(
            image_size=config.data.image_size,
            color=config.data.preprocess.color,
            mean=tuple(mean),
            std=tuple(std),
            instruments=looks,
        )
    tables = (mid_table, target_table, audit_table, few_table)
    preprocess = in_scale(preprocess, config.data.preprocess, tables)
    reader = ImageReader(config, preprocess, classes, cache_folder, progress)
    split_of_target = target_table["split"].replace("", "train")
    learnt = reader.read(target_table[split_of_target == "train"])
    unseen = target_table if few_table is None else without_labels_of(few_table, target_table)
    oracle = oracle_sets(unseen, split_of_target, learnt, rows.taxonomy, reader)
    data = TrainingData(
        classes=classes,
        preprocess=preprocess,
        mid_train=reader.read(mid_table[mid_table["split"] == "train"]),
        mid_val=reader.read(mid_table[mid_table["split"] == "val"]),
        target_train=ImageSet(learnt.table, learnt.pixels, np.full(len(learnt), -1)),
        oracle=oracle,
        audit=None if audit_table is None else reader.read(audit_table),
        few=None if few_table is None else reader.read(few_table),
        mid=rows.mid_manifests,
        target=rows.target_manifests,
        bad_images=reader.bad_images,
        class_balanced=config.data.sampler == "class_balanced",
        start=start,
    )
    reader.settle_bad_images()
    _require_images(data)
    return data


def _require_images(data: TrainingData) -> None:
    of_mid = [
        ("mid has no training image", data.mid_train),
        ("mid has no validation image", data.mid_val),
    ]
    for words, images in (
        *(of_mid if data.start is None else []),
        ("target has no training image: rows with split train or none", data.target_train),
    ):
        if not len(images) or not images.pixels.good.any():
            raise DataError(f"{words}; see: plankton-da manifest check --open-images")
    if data.start is not None:
        return
    learnt = set(data.mid_train.labels[data.mid_train.pixels.good].tolist())
    if unlearnt := [name for label, name in enumerate(data.classes) if label not in learnt]:
        raise DataError(
            f"mid has no training image that can be read of: {', '.join(unlearnt)}; mend some of "
            f"its images, or drop it by a taxonomy"
        )
