"""Source hypothesis transfer: adaptation without mid's images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from plankton_da.adaptation.methods.base import Method, StepOutput
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config_methods import ShotConfig
from plankton_da.networks.classifier import PlanktonNetwork

NO_LABEL = -1


class Shot(Method):
    """Features of the target that fit a classifier head which does not change.

    Information maximisation: each prediction certain, all together of many classes. Beside it cross
    entropy with pseudo labels, which are those of the nearest class centroid among the target's own
    features, found anew every ``refresh_every`` steps for the images of those steps.

    Source: Liang et al., "Do We Really Need to Access the Source Data? Source Hypothesis Transfer
    for Unsupervised Domain Adaptation", ICML 2020. There pseudo labels are found once an epoch.
    """

    source_free: ClassVar[bool] = True
    pseudo_labels: Tensor

    def __init__(
        self, network: PlanktonNetwork, config: ShotConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        network.head.requires_grad_(False)
        self.register_buffer("pseudo_labels", torch.empty(0, dtype=torch.int64))
        self.refresh_every = config.refresh_every
        self.config = config

    def allocate(self, target_images: int) -> None:
        """One pseudo label per target image, none known yet."""
        self.pseudo_labels = self.pseudo_labels.new_full((target_images,), NO_LABEL)

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Weighted entropy - weighted diversity + weighted cross entropy with pseudo labels."""
        self.network.use_domain("target")
        features = self.network.features(batch.target_images)
        self.network.use_domain("mid")
        logits = self.network.classify(features)  # (T, K)
        probabilities = torch.softmax(logits, dim=1)
        entropy = _entropy(probabilities).mean()
        diversity = _entropy(probabilities.mean(0))
        loss = self.config.entropy_weight * entropy - self.config.diversity_weight * diversity
        scalars = {"entropy": entropy.detach(), "diversity": diversity.detach()}
        if batch.target_rows is not None:
            labels = self.pseudo_labels[batch.target_rows]  # (T,)
            known = labels != NO_LABEL
            losses = F.cross_entropy(logits, labels.clamp_min(0), reduction="none")
            pseudo_loss = (losses * known).sum() / known.sum().clamp_min(1)
            loss = loss + self.config.pseudo_label_weight * pseudo_loss
            agreement = (known & (labels == logits.argmax(1))).sum() / known.sum().clamp_min(1)
            scalars["pseudo_label_loss"] = pseudo_loss.detach()
            scalars["pseudo_label_agreement"] = agreement.detach()
        return StepOutput(loss, logits.detach()[:0], scalars)

    @torch.no_grad()
    def refresh(self, rows: Tensor, images: Callable[[], Iterator[Tensor]]) -> None:
        """Find the pseudo labels of target images ``rows`` (N,); the others' are forgotten.

        ``images`` gives them in that order, without augmentation, in batches (B, C, H, W) uint8.
        """
        self.settle(images())
        training = self.network.training
        self.network.eval()
        self.network.use_domain("target")
        features, probabilities = [], []
        for batch in images():
            found = self.network.features(batch)
            features.append(found.float())
            probabilities.append(torch.softmax(self.network.classify(found).float(), dim=1))
        self.network.use_domain("mid")
        self.network.train(training)
        labels = centroid_labels(torch.cat(features), torch.cat(probabilities))
        self.pseudo_labels.fill_(NO_LABEL)
        self.pseudo_labels[rows] = labels


def centroid_labels(features: Tensor, probabilities: Tensor) -> Tensor:
    """Class of the nearest centroid by cosine, (N,) int64.

    Centroids are first means of the features (N, F) weighted by the probabilities (N, K), then
    plain means of the features that were nearest to each: equations 4 to 6 of the paper, on
    features of unit length as its published code has it. A class that is nearest to no image has no
    centroid in the second round.
    """
    unit = F.normalize(features, dim=1)  # (N, F)
    labels = _nearest(unit, probabilities)
    return _nearest(unit, F.one_hot(labels, probabilities.shape[1]).to(unit.dtype))


def _nearest(unit: Tensor, weights: Tensor) -> Tensor:
    """Index of the nearest weighted mean; ``weights`` (N, K) of features ``unit`` (N, F)."""
    centroids = F.normalize(weights.T @ unit, dim=1)  # (K, F): the length does not matter
    similarity = unit @ centroids.T  # (N, K)
    similarity[:, weights.sum(0) == 0] = -torch.inf
    return similarity.argmax(1)


def _entropy(probabilities: Tensor) -> Tensor:
    """Over the last dimension, nats."""
    return -(probabilities * torch.log(probabilities.clamp_min(1e-8))).sum(-1)
