"""From a config to the images and labels of one training run."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plankton_da.adaptation.few_labels import require_few_labels, without_labels_of
from plankton_da.config import Config, InstrumentPreprocessConfig
from plankton_da.errors import ConfigError, DataError
from plankton_da.images.cache import PixelSource, open_pixels
from plankton_da.images.polarity import find_look
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.manifests.pairs import check_pair
from plankton_da.manifests.splits import mid_split
from plankton_da.manifests.table import Manifest, read_manifest
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy

_CACHE_LIMIT_BYTES = 20e9
_LISTED = 20
_ROOT = "__root"  # column: folder that a row's ref is relative to

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSet:
    """Rows of manifests with their pixels; rows whose image does not decode are left out."""

    table: pd.DataFrame
    pixels: PixelSource
    labels: NDArray[np.int64]
    """(N,) index into the classes; -1 where there is no label or none that counts"""

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from, chooses by and reports on."""

    classes: tuple[str, ...]
    preprocess: Preprocess
    mid_train: ImageSet
    mid_val: ImageSet
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

    @property
    def mid_instruments(self) -> tuple[str, ...]:
        return tuple(sorted({name for manifest in self.mid for name in manifest.instruments}))

    @property
    def target_instruments(self) -> tuple[str, ...]:
        return tuple(sorted({name for manifest in self.target for name in manifest.instruments}))

    @property
    def priors(self) -> dict[str, float]:
        """Class -> share in mid's training images."""
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
) -> TrainingData:
    """Read manifests, settle labels, splits and preprocessing, and decode the images once.

    Parameters
    ----------
    normalisation
        Mean and standard deviation per channel that the backbone expects.
    cache_folder
        Where decoded images are kept between runs.

    Raises
    ------
    ManifestError
        A manifest has problems, or the manifests do not belong together; all are listed.
    DataError
        Images do not decode and ``data.on_bad_image`` is ``error``.
    ConfigError
        The config names an instrument or a taxonomy that is not there.
    """
    mid = [read_manifest(path) for path in config.data.mid]
    target = [read_manifest(path) for path in config.data.target]
    audit = [read_manifest(path) for path in config.data.audit or ()]
    few = [read_manifest(path) for path in config.data.target_labelled or ()]
    taxonomy = read_taxonomy(config.data.taxonomy) if config.data.taxonomy else None

    mid_table = _drop_unlabelled(_concatenate(mid, taxonomy))
    target_table = _concatenate(target, None)
    check_pair(
        [Manifest.of(mid_table, Path(), Path(config.data.mid[0]))],
        [Manifest.of(target_table, Path(), Path(config.data.target[0]))],
    ).raise_if_any()
    audit_table = _drop_unlabelled(_concatenate(audit, taxonomy)) if audit else None
    few_table = _drop_unlabelled(_concatenate(few, taxonomy)) if few else None
    mid_table = mid_split(mid_table, config.seed)
    classes = tuple(sorted(mid_table.loc[mid_table["split"] == "train", "label"].unique()))

    log.info(
        "learns from %s (%d labelled images, %d classes), adapts to %s (%d images)",
        " and ".join(sorted(mid_table["instrument"].unique())),
        (mid_table["split"] == "train").sum(),
        len(classes),
        " and ".join(sorted(target_table["instrument"].unique())),
        target_table["split"].isin(["", "train"]).sum(),
    )
    if few_table is not None:
        require_few_labels(few_table, audit_table, target_table, classes)
    looks = _find_looks(config, pd.concat([mid_table, target_table]))
    mean, std = normalisation
    preprocess = Preprocess(
        image_size=config.data.image_size,
        color=config.data.preprocess.color,
        mean=tuple(mean),
        std=tuple(std),
        instruments=looks,
    )
    reader = _Reader(config, preprocess, classes, cache_folder, progress)
    split_of_target = target_table["split"].replace("", "train")
    learnt = reader.read(target_table[split_of_target == "train"])
    unseen = target_table if few_table is None else without_labels_of(few_table, target_table)
    oracle = _oracle_sets(unseen, split_of_target, learnt, taxonomy, reader)
    data = TrainingData(
        classes=classes,
        preprocess=preprocess,
        mid_train=reader.read(mid_table[mid_table["split"] == "train"]),
        mid_val=reader.read(mid_table[mid_table["split"] == "val"]),
        target_train=ImageSet(learnt.table, learnt.pixels, np.full(len(learnt), -1)),
        oracle=oracle,
        audit=None if audit_table is None else reader.read(audit_table),
        few=None if few_table is None else reader.read(few_table),
        mid=mid,
        target=target,
        bad_images=reader.bad_images,
        class_balanced=config.data.sampler == "class_balanced",
    )
    reader.settle_bad_images()
    _require_images(data)
    return data


def _concatenate(manifests: Sequence[Manifest], taxonomy: Mapping[str, str] | None) -> pd.DataFrame:
    tables = []
    for manifest in manifests:
        table = manifest.table
        if taxonomy is not None:
            table = apply_taxonomy(table, dict(taxonomy))
            _log_left_out(manifest, table)
        columns = {
            name: manifest.column(name).loc[table.index] if name != "label" else _labels(table)
            for name in ("object_id", "image", "instrument", "label", "split", "group", "licence")
        }
        tables.append(pd.DataFrame(columns).assign(**{_ROOT: str(manifest.root)}))
    return pd.concat(tables, ignore_index=True)


def _log_left_out(manifest: Manifest, kept: pd.DataFrame) -> None:
    labels = manifest.table.loc[manifest.table.index.difference(kept.index), "label"]
    if len(labels):
        counts = ", ".join(f"{label} {count}" for label, count in labels.value_counts().items())
        log.info("%s: left out by the taxonomy: %s", manifest.path, counts)


def _labels(table: pd.DataFrame) -> pd.Series[str]:
    return table["label"] if "label" in table else pd.Series("", index=table.index, dtype="str")


def _drop_unlabelled(table: pd.DataFrame) -> pd.DataFrame:
    unlabelled = table["label"] == ""
    if unlabelled.any():
        log.warning("%d rows of mid or audit have no label and are left out", unlabelled.sum())
    return table[~unlabelled].reset_index(drop=True)


def _find_looks(config: Config, table: pd.DataFrame) -> dict[str, InstrumentLook]:
    configured = config.data.preprocess.instruments
    instruments = sorted(table["instrument"].unique())
    if unknown := sorted(set(configured) - set(instruments)):
        raise ConfigError(
            f"data.preprocess.instruments: {', '.join(unknown)} is in no manifest; the manifests "
            f"have {', '.join(instruments)}"
        )
    looks = {}
    for instrument in instruments:
        rows = table[table["instrument"] == instrument]
        settings = configured.get(instrument, InstrumentPreprocessConfig())
        roots = [Path(root) for root in rows[_ROOT]]
        look = find_look(instrument, settings, list(rows["image"]), roots)
        looks[instrument] = look
        found = (
            f"{look.polarity_votes:.0%} of the images looked at"
            if settings.polarity == "auto"
            else "as configured"
        )
        turned = "; turned to dark on light" if look.invert else ""
        log.info("%s: %s (%s)%s", instrument, look.polarity.replace("_", " "), found, turned)
    return looks


class _Reader:
    def __init__(
        self,
        config: Config,
        preprocess: Preprocess,
        classes: Sequence[str],
        cache_folder: Path,
        progress: bool,
    ) -> None:
        self._config = config
        self._preprocess = preprocess
        self._index = {name: position for position, name in enumerate(classes)}
        self._cache_folder = cache_folder
        self._progress = progress
        self._images = 0
        self.bad_images: dict[str, str] = {}

    def read(self, table: pd.DataFrame) -> ImageSet:
        table = table.reset_index(drop=True)
        pixels = open_pixels(
            list(table["image"]),
            [Path(root) for root in table[_ROOT]],
            list(table["instrument"]),
            self._preprocess,
            folder=self._folder(len(table)),
            workers=self._config.data.workers,
            on_bad_image="skip",  # all sets are read before any of their images is complained of
            progress=self._progress,
        )
        for row, error in pixels.problems.items():
            path = os.path.join(table[_ROOT].iloc[row], table["image"].iloc[row])
            self.bad_images[path] = str(error)
        self._images += len(table)
        return ImageSet(table, pixels, self.labels_of(table))

    def settle_bad_images(self) -> None:
        """Stop at bad images, or say which are left out, as the config wants it."""
        if not self.bad_images:
            return
        lines = [f"{path}: {why}" for path, why in self.bad_images.items()]
        if len(lines) > _LISTED:
            lines[_LISTED:] = [f"and {len(lines) - _LISTED} more"]
        words = (
            f"{len(self.bad_images)} of {self._images} images cannot be read:\n  "
            + "\n  ".join(lines)
            + "\n"
        )
        if self._config.data.on_bad_image == "error":
            raise DataError(
                f"{words}Mend or remove them, or leave them out with data.on_bad_image: skip"
            )
        log.warning("%sThey are left out; output_dir will name them in bad_images.json", words)

    def labels_of(self, table: pd.DataFrame) -> NDArray[np.int64]:
        labels = table["label"].map(self._index).fillna(-1)
        return np.asarray(labels, dtype=np.int64)

    def _folder(self, images: int) -> Path | None:
        mode = self._config.data.cache
        size = images * self._config.data.image_size**2 * self._preprocess.channels
        if mode == "none":
            return None
        if mode == "auto":
            try:
                self._cache_folder.mkdir(parents=True, exist_ok=True)
                free = shutil.disk_usage(self._cache_folder).free
            except OSError as error:
                log.warning("images are decoded at every use: %s", error)
                return None
            if size > min(_CACHE_LIMIT_BYTES, free / 2):
                log.warning("images are decoded at every use: %.3g GB do not fit", size / 1e9)
                return None
        return self._cache_folder


def _oracle_sets(
    table: pd.DataFrame,
    splits: pd.Series[str],
    learnt: ImageSet,
    taxonomy: Mapping[str, str] | None,
    reader: _Reader,
) -> dict[str, ImageSet]:
    if taxonomy is not None:
        # Labels that the taxonomy lacks are no error here: nothing is learnt from them.
        table = table.assign(label=table["label"].map(lambda label: taxonomy.get(label, "")))
    sets = {}
    for split in ("train", "val", "test"):
        rows = table[splits == split]
        if split == "train":
            labels = reader.labels_of(rows)
            images = ImageSet(learnt.table, learnt.pixels, labels)
        elif (rows["label"] != "").any():
            images = reader.read(rows[rows["label"] != ""])
        else:
            continue
        if (images.labels >= 0).any():
            sets[split] = images
    return sets


def _require_images(data: TrainingData) -> None:
    for words, images in (
        ("mid has no training image", data.mid_train),
        ("mid has no validation image", data.mid_val),
        ("target has no training image: rows with split train or none", data.target_train),
    ):
        if not len(images) or not images.pixels.good.any():
            raise DataError(f"{words}; see: plankton-da manifest check --open-images")
    learnt = set(data.mid_train.labels[data.mid_train.pixels.good].tolist())
    if unlearnt := [name for label, name in enumerate(data.classes) if label not in learnt]:
        raise DataError(
            f"mid has no training image that can be read of: {', '.join(unlearnt)}; mend some of "
            f"its images, or drop it by a taxonomy"
        )
