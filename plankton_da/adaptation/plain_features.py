"""What frozen stages give of images as they are, for the evaluations during a run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plankton_da.adaptation.frozen_features import (
    FrozenFeatures,
    compute_frozen_features,
    feature_bytes,
    room_for,
)
from plankton_da.adaptation.image_sets import ImageSet
from plankton_da.adaptation.views import AugmentedImages
from plankton_da.images.augment import build_augmentation
from plankton_da.networks.classifier import PlanktonNetwork

log = logging.getLogger(__name__)


class PlainFeatures:
    """Frozen stages pass each evaluated image once, not once an evaluation.

    Parameters
    ----------
    network
        The network that is evaluated; nothing is kept where its frozen stages do not come apart.
    folder
        Where features are kept, for later runs too.
    """

    def __init__(self, network: PlanktonNetwork, folder: Path, device: torch.device) -> None:
        self._network = network
        self._folder = folder
        self._device = device
        # their key asks for the size and time of every file, which on a shared disk takes a while
        self._found: list[tuple[ImageSet, NDArray[np.intp], FrozenFeatures | None]] = []

    def of(self, images: ImageSet, rows: NDArray[np.intp]) -> FrozenFeatures | None:
        """Features of ``rows`` (N,); None where there are none, or no room for them.

        Raises
        ------
        OutputError
            The folder cannot be written to.
        """
        for known, asked, found in self._found:
            if known is images and np.array_equal(asked, rows):
                return found
        self._found.append((images, rows, self._find(images, rows)))
        return self._found[-1][2]

    def _find(self, images: ImageSet, rows: NDArray[np.intp]) -> FrozenFeatures | None:
        if not self._network.is_divided or not len(rows):
            return None
        plain = AugmentedImages(images.pixels, build_augmentation("none", 0))
        sample = torch.from_numpy(plain.draw(rows[:1], (0,))).to(self._device)
        # the file has a place for every image; where it cannot be sparse, those take room too
        if not room_for(self._folder, len(images) * feature_bytes(self._network, sample)):
            log.info("evaluations pass the frozen stages anew: no room in %s", self._folder)
            return None
        return compute_frozen_features(
            self._network,
            images.pixels,
            plain,
            preset="none",
            copies=1,
            folder=self._folder,
            device=self._device,
            progress=False,
            rows=rows,
        )
