"""The batches that a config asks for, over images or over what frozen stages give of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch

from plankton_da.adaptation.frozen_features import (
    compute_frozen_features,
    feature_bytes,
    room_for,
)
from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.pairs import StepBatches
from plankton_da.adaptation.preparation import ImageSet, TrainingData
from plankton_da.adaptation.ranks import Ranks
from plankton_da.adaptation.views import AugmentedImages, View
from plankton_da.config import Config
from plankton_da.images.augment import build_augmentation

AUTO_COPIES = 4
"""augmented copies of each image under ``training.frozen_copies: auto``"""

log = logging.getLogger(__name__)


def step_batches(
    config: Config,
    method: Method,
    data: TrainingData,
    *,
    folder: Path,
    device: torch.device,
    progress: bool,
    ranks: Ranks,
) -> StepBatches:
    """All steps' batches; features of frozen stages are computed here, where they are reused.

    Every rank gets its part of each batch; rank 0 computes the features.

    Parameters
    ----------
    folder
        Where features of frozen stages are kept between runs.

    Raises
    ------
    OutputError
        ``folder`` cannot be written to, or is full.
    """
    own = _copies(config, method, data, folder, device)
    copies = ranks.first_says(lambda: own)  # the disk may be fuller a moment later

    def view(images: ImageSet, preset: Literal["instrument", "strong", "none"]) -> View:
        augment = build_augmentation(preset, config.data.image_size)
        augmented = AugmentedImages(images.pixels, augment)
        if not copies or not len(images):
            return augmented
        return compute_frozen_features(
            method.network,
            images.pixels,
            augmented,
            preset=preset,
            copies=copies if preset != "none" else 1,
            folder=folder,
            device=device,
            progress=progress,
        )

    preset = config.data.augmentation
    target = data.target_train

    def batches() -> StepBatches:
        return StepBatches(
            view(data.mid_train, preset),
            data.mid_train.labels,
            view(target, preset) if method.adapts else None,
            batch_size=config.data.batch_size_per_instrument,
            class_balanced=config.data.sampler == "class_balanced",
            seed=config.seed,
            few=view(data.few, preset) if data.few else None,
            few_labels=data.few.labels if data.few else None,
            target_strong=view(target, "strong") if method.needs_strong_view else None,
            part=ranks.part,
        )

    return ranks.in_turn(batches)


def _copies(
    config: Config, method: Method, data: TrainingData, folder: Path, device: torch.device
) -> int:
    """How many augmented copies pass the frozen stages beforehand; 0: none do."""
    wanted = config.training.frozen_copies
    if config.model.freeze == "none" or wanted == 0:
        return 0
    sets = [found for found in (data.mid_train, data.target_train) if len(found)]
    sets = sets if method.adapts else [data.mid_train]
    images = sum(len(found) for found in sets)
    drawn = config.training.steps * config.data.batch_size_per_instrument * len(sets)
    copies = AUTO_COPIES if wanted == "auto" else wanted
    if wanted == "auto" and drawn < copies * images:
        return 0  # less work as they come
    sample = torch.from_numpy(
        AugmentedImages(sets[0].pixels, build_augmentation("none", 0)).draw(
            sets[0].pixels.good.nonzero()[0][:2], (0,)
        )
    ).to(device)
    if not method.takes_features:
        why = f"method {config.method.name} works on images"
    elif not method.divide(sample):
        why = f"{config.model.backbone} does not come apart behind its frozen stages"
    elif not room_for(folder, copies * images * feature_bytes(method.network, sample[:1])):
        why = f"the disk of {folder} has no room for their features"
    else:
        log.info("frozen stages are passed once by %d augmented copies of each image", copies)
        return copies
    log.log(
        logging.INFO if wanted == "auto" else logging.WARNING,
        "frozen stages are passed anew in each step: %s",
        why,
    )
    return 0
