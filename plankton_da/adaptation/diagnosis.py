"""What went wrong, in plain sentences, from what a run can know without target labels."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from plankton_da.adaptation.selection import collapsed
from plankton_da.images.polarity import DOUBTFUL_VOTES
from plankton_da.images.preprocess import Preprocess

_LN2 = 0.6931


def diagnose(
    entry: Mapping[str, Any],
    scalars: Sequence[Mapping[str, float]],
    preprocess: Preprocess,
    bad_images: int,
) -> list[str]:
    """Sentences about the chosen evaluation ``entry`` and the training scalars of the whole run."""
    return [
        *_inputs(preprocess, bad_images),
        *_discriminator(scalars),
        *_predictions(entry),
    ]


def _inputs(preprocess: Preprocess, bad_images: int) -> list[str]:
    sentences = [
        f"{name}: only {look.polarity_votes:.0%} of the images agree on polarity; "
        f"some are seen inverted"
        for name, look in preprocess.instruments.items()
        if look.polarity_votes < DOUBTFUL_VOTES
    ]
    if bad_images:
        sentences.append(f"{bad_images} images did not decode and were left out")
    return sentences


def _discriminator(scalars: Sequence[Mapping[str, float]]) -> list[str]:
    losses = [entry["domain_loss"] for entry in scalars if "domain_loss" in entry]
    if not losses:
        return []
    if len(losses) > 1 and statistics.pstdev(losses) < 1e-6:
        return [f"the discriminator is dead: its loss stays at {losses[-1]:.4f}"]
    late = [entry["domain_accuracy"] for entry in scalars[len(scalars) // 2 :]]
    accuracy = statistics.fmean(late)
    if accuracy > 0.95:
        return [
            f"the discriminator wins (accuracy {accuracy:.2f}): the features of the two "
            f"instruments stay apart; look at polarity, crops and scale before the losses"
        ]
    if abs(accuracy - 0.5) < 0.05 and abs(statistics.fmean(losses[-3:]) - _LN2) < 0.05:
        return [
            f"the discriminator cannot tell the instruments apart (accuracy {accuracy:.2f}); that "
            f"says nothing about whether the classes are matched"
        ]
    return []


def _predictions(entry: Mapping[str, Any]) -> list[str]:
    sentences = []
    if collapsed(dict(entry)):
        sentences.append(
            f"predictions have collapsed: on the target they use {entry['effective_classes']:.1f} "
            f"classes' worth, on mid {entry['mid_effective_classes']:.1f}"
        )
    accuracy = entry["mid_accuracy"]
    if accuracy is not None and entry["target_confidence"] > accuracy + 0.05:
        sentences.append(
            f"over-confident: mean confidence on the target is {entry['target_confidence']:.2f}, "
            f"accuracy on mid only {accuracy:.2f}; label an audit sample before trusting scores"
        )
    return sentences
