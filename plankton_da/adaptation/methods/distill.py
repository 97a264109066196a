"""One network that predicts as several together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from plankton_da.adaptation.methods.base import Method, StepOutput
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config_methods import DistillConfig
from plankton_da.errors import ConfigError
from plankton_da.networks.classifier import PlanktonNetwork
from plankton_da.prediction.predictor import Predictor, Views
from plankton_da.tracking.registry import resolve_bundle

_ONCE = 10**9  # steps: the teachers are asked before the first step and never again
_VIEWS: Views = 8


class Distill(Method):
    """Mid's labels on mid, on the target the mean prediction of finished bundles.

    The teachers see each target image once, without augmentation, in eight turned views; the
    student sees it augmented.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
    """

    soft_labels: Tensor
    """(N, K), NaN where the teachers were not asked"""

    def __init__(
        self, network: PlanktonNetwork, config: DistillConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        self.distillation_weight = config.distillation_weight
        self.refresh_every = _ONCE
        self.register_buffer("soft_labels", torch.empty(0, network.head.out_features))
        self._teacher_names = config.teachers
        self._teachers: list[Predictor] = []

    def allocate(self, target_images: int) -> None:
        """Room for a soft label of each target image."""
        classes = self.soft_labels.shape[1]
        self.soft_labels = self.soft_labels.new_full((target_images, classes), torch.nan)

    def prepare(self, classes: tuple[str, ...], preprocess_hash: str, uri: str | None) -> None:
        """Open the teachers, and refuse those that another student would need."""
        self._teachers = [
            open_teacher(name, uri, classes, preprocess_hash) for name in self._teacher_names
        ]

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Classification loss on mid plus weighted cross entropy with the soft labels."""
        mid_features, target_features = self.network.pair_features(
            batch.mid_images, batch.target_images
        )
        logits = self.network.classify(mid_features)  # (M, K)
        classification_loss = self.classification_loss(logits, batch.mid_labels)
        scalars = {"classification_loss": classification_loss.detach()}
        loss = classification_loss
        if batch.target_rows is not None:
            target_logits = self.network.classify(target_features)  # (T, K)
            soft_labels = self.soft_labels[batch.target_rows]  # (T, K)
            distillation_loss = soft_cross_entropy(target_logits, soft_labels)
            loss = loss + self.distillation_weight * distillation_loss
            scalars["distillation_loss"] = distillation_loss.detach()
        return StepOutput(loss, logits.detach(), scalars)

    @torch.no_grad()
    def refresh(self, rows: Tensor, images: Callable[[], Iterator[Tensor]]) -> None:
        """Ask the teachers about target images ``rows`` (N,)."""
        found = [
            sum(_probabilities(teacher, batch) for teacher in self._teachers) / len(self._teachers)
            for batch in images()
        ]
        self.soft_labels[rows] = torch.cat(found).to(self.soft_labels)


def soft_cross_entropy(logits: Tensor, soft_labels: Tensor) -> Tensor:
    """Mean cross entropy of logits (T, K) with probabilities (T, K)."""
    return -(soft_labels * torch.log_softmax(logits, dim=1)).sum(1).mean()


def open_teacher(
    name: str, uri: str | None, classes: tuple[str, ...], preprocess_hash: str
) -> Predictor:
    """A teacher that sees the student's pixels and knows its classes.

    Raises
    ------
    ConfigError
        The bundle has other classes or another preprocessing than the run.
    """
    teacher = Predictor.open(resolve_bundle(name, uri), views=_VIEWS)
    differing = [
        words
        for words, ours, theirs in (
            ("classes", classes, teacher.classes),
            ("preprocessing", preprocess_hash, teacher.info.preprocess_hash),
        )
        if ours != theirs
    ]
    if differing:
        raise ConfigError(
            f"method.teachers: {name} has other {' and '.join(differing)} than this run; train "
            f"teachers and student on the same manifests, image size and crops"
        )
    return teacher


def _probabilities(teacher: Predictor, images: Tensor) -> Any:
    pixels = images.cpu().numpy().transpose(0, 2, 3, 1)  # (B, H, W, C)
    return torch.from_numpy(teacher.probabilities(pixels, teacher.default_instrument))
