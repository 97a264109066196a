"""What frozen stages give of augmented copies of all images, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from plankton_da.adaptation.views import WHOLE, AugmentedImages
from plankton_da.errors import OutputError
from plankton_da.images.cache import PixelSource
from plankton_da.networks.classifier import PlanktonNetwork

_BATCH = 64
_COPIES_STREAM = 7  # of random numbers; copies do not depend on a run's seed: runs share them

log = logging.getLogger(__name__)


class FrozenFeatures:
    """A view whose augmentation was drawn beforehand: a few copies of each image.

    Parameters
    ----------
    path
        ``.npy`` of float16 (copies, N, ...).
    good
        (N,): False where the image does not decode.
    """

    def __init__(self, path: Path, good: NDArray[np.bool_]) -> None:
        self.path = path
        self.good = good
        self._features: NDArray[np.float16] | None = None

    def draw(
        self, rows: NDArray[np.intp], seed: tuple[int, ...], part: slice = WHOLE
    ) -> NDArray[np.float16]:
        """(B, ...) float16 of one copy of each of ``rows`` (B,), or of ``part`` of them."""
        if self._features is None:
            self._features = np.load(self.path, mmap_mode="r").view(np.ndarray)
        copies = np.random.default_rng(seed).integers(len(self._features), size=len(rows))
        drawn: NDArray[np.float16] = self._features[copies[part], rows[part]]
        return drawn

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_features": None}


def frozen_key(network: PlanktonNetwork) -> str:
    """sha256 (hex) of everything frozen: what decides the features of given pixels."""
    digest = hashlib.sha256(network.backbone.name.encode())
    for tensor in (network.mean, network.std):
        digest.update(tensor.cpu().numpy().tobytes())
    for name, tensor in network.frozen_state().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def compute_frozen_features(
    network: PlanktonNetwork,
    source: PixelSource,
    augmented: AugmentedImages,
    *,
    preset: str,
    copies: int,
    folder: Path,
    device: torch.device,
    progress: bool,
    rows: NDArray[np.intp] | None = None,
) -> FrozenFeatures:
    """Pass ``copies`` augmented copies of each image through the divided network's frozen stages.

    Made once for the same images, augmentation and frozen weights; a file gets its name only once
    it is whole. ``rows`` (N,): of these images alone; None: of all that decode.

    Raises
    ------
    OutputError
        ``folder`` cannot be written to, or is full.
    """
    good = np.flatnonzero(source.good)
    rows = good if rows is None else rows
    parts = [source.key(), frozen_key(network), preset, str(copies)]
    if len(rows) < len(good):
        parts.append(hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest())
    path = folder / f"frozen-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:32]}.npy"
    if not path.is_file():
        try:
            _compute(network, rows, len(source), augmented, copies, path, device, progress)
        except OSError as error:
            raise OutputError(
                f"{path.parent}: features of frozen stages cannot be kept here: "
                f"{error.strerror or error}; make room, or set training.frozen_copies: 0"
            ) from error
    return FrozenFeatures(path, source.good)


def feature_bytes(network: PlanktonNetwork, images: Tensor) -> int:
    """Bytes that one copy of one image takes on disk; tried on ``images`` (1, C, H, W) uint8."""
    return 2 * network.frozen_features(images).numel()


def room_for(folder: Path, size: int) -> bool:
    """Whether ``size`` bytes leave half of the disk's free space."""
    folder.mkdir(parents=True, exist_ok=True)
    return size < shutil.disk_usage(folder).free / 2


def _compute(
    network: PlanktonNetwork,
    rows: NDArray[np.intp],
    images: int,
    augmented: AugmentedImages,
    copies: int,
    path: Path,
    device: torch.device,
    progress: bool,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.building")
    log.info("computing the frozen stages' features of %d images, %d copies", len(rows), copies)
    bar = tqdm(
        total=copies * len(rows),
        desc="frozen stages",
        unit="image",
        disable=None if progress else True,
    )
    written: NDArray[np.float16] | None = None
    try:
        for copy in range(copies):
            for start in range(0, len(rows), _BATCH):
                chosen = rows[start : start + _BATCH]
                pixels = augmented.draw(chosen, (_COPIES_STREAM, copy, start))
                features = network.frozen_features(torch.from_numpy(pixels).to(device))
                half = features.half().cpu().numpy()  # (B, ...)
                if written is None:
                    shape = (copies, images, *half.shape[1:])
                    written = np.lib.format.open_memmap(building, "w+", np.float16, shape)
                written[copy, chosen] = half
                bar.update(len(chosen))
        if written is not None:
            written.flush()  # type: ignore[attr-defined]  # a memmap, which numpy's stub calls an array
        building.replace(path)
    finally:
        bar.close()
        building.unlink(missing_ok=True)
