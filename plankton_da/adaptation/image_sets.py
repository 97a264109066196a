"""Images of manifests' rows, decoded once."""

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

from plankton_da.adaptation.tables import ROOT
from plankton_da.config import Config
from plankton_da.errors import DataError
from plankton_da.images.cache import PixelSource, open_pixels
from plankton_da.images.preprocess import Preprocess

_CACHE_LIMIT_BYTES = 20e9
_LISTED = 20

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


class ImageReader:
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
            [Path(root) for root in table[ROOT]],
            list(table["instrument"]),
            self._preprocess,
            folder=self._folder(len(table)),
            workers=self._config.data.workers,
            on_bad_image="skip",  # all sets are read before any of their images is complained of
            progress=self._progress,
        )
        for row, error in pixels.problems.items():
            path = os.path.join(table[ROOT].iloc[row], table["image"].iloc[row])
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


def oracle_sets(
    table: pd.DataFrame,
    splits: pd.Series[str],
    learnt: ImageSet,
    taxonomy: Mapping[str, str] | None,
    reader: ImageReader,
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
