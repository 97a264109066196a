"""Conditional adversarial training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plankton_da.adaptation.methods.base import Method, StepOutput, warm_up
from plankton_da.adaptation.methods.dann import domain_accuracy
from plankton_da.adaptation.methods.mcc import class_confusion
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config_methods import CDANConfig
from plankton_da.networks.classifier import PlanktonNetwork
from plankton_da.networks.discriminators import DomainDiscriminator
from plankton_da.networks.grl import grad_reverse

MAP_LIMIT = 4096
"""F * K above which a random map takes the place of the outer product (section 3.2 of the paper)"""


class CDAN(Method):
    """A domain discriminator that sees features together with the predicted classes.

    With ``mcc_weight`` the class confusion of the target's predictions is minimised too.

    Source: Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018.
    """

    def __init__(
        self, network: PlanktonNetwork, config: CDANConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        self.condition = Conditioning(network.feature_dim, network.head.out_features)
        self.discriminator = DomainDiscriminator(self.condition.width, config.hidden_dim)
        self.config = config

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Classification loss plus weighted domain and class confusion losses."""
        mid_features, target_features = self.network.pair_features(
            batch.mid_images, batch.target_images
        )
        features = torch.cat([mid_features, target_features])  # (M + T, F)
        logits = self.network.classify(features)  # (M + T, K)
        mid_logits, target_logits = torch.split(logits, [len(mid_features), len(target_features)])
        classification_loss = self.classification_loss(mid_logits, batch.mid_labels)
        strength = self.config.grl_strength * warm_up(progress)
        domain_loss, accuracy = conditional_domain_loss(
            self.condition,
            self.discriminator,
            features,
            logits,
            len(mid_features),
            strength,
            entropy_conditioning=self.config.entropy_conditioning,
        )
        task_loss = classification_loss
        scalars = {
            "classification_loss": classification_loss.detach(),
            "domain_loss": domain_loss.detach(),
            "domain_accuracy": accuracy,
            "lambda2": strength.detach(),
        }
        if self.config.mcc_weight:
            confusion_loss = class_confusion(target_logits, self.config.mcc_temperature)
            task_loss = task_loss + self.config.mcc_weight * confusion_loss
            scalars["confusion_loss"] = confusion_loss.detach()
        loss = task_loss + self.config.adversarial_weight * domain_loss
        return StepOutput(loss, mid_logits.detach(), scalars, task_loss)


class Conditioning(nn.Module):
    """Features (N, F) and probabilities (N, K) to (N, width): the outer product where it is small.

    Else the randomised map (R_f f) * (R_p p) / sqrt(width), R standard normal and fixed.
    """

    feature_map: Tensor
    class_map: Tensor

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.is_random = feature_dim * num_classes > MAP_LIMIT
        self.width = 1024 if self.is_random else feature_dim * num_classes
        if self.is_random:
            self.register_buffer("feature_map", torch.randn(feature_dim, self.width))
            self.register_buffer("class_map", torch.randn(num_classes, self.width))

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """(N, width)."""
        if self.is_random:
            product = (features @ self.feature_map) * (probabilities @ self.class_map)
            return product / math.sqrt(self.width)
        return (probabilities[:, :, None] * features[:, None, :]).flatten(1)  # (N, K * F)


def conditional_domain_loss(
    condition: Conditioning,
    discriminator: DomainDiscriminator,
    features: Tensor,
    logits: Tensor,
    mid_count: int,
    strength: Tensor,
    *,
    entropy_conditioning: bool,
) -> tuple[Tensor, Tensor]:
    """The domain loss () and the discriminator's accuracy ().

    Parameters
    ----------
    features, logits
        (M + T, F), (M + T, K); the first ``mid_count`` = M rows are mid's.
    strength
        () lambda2: the features get the reversed gradient times this, the logits none.
    entropy_conditioning
        Weigh each image by ``entropy_weights``.
    """
    probabilities = torch.softmax(logits, dim=1).detach()
    domain_logits = discriminator(condition(grad_reverse(features, strength), probabilities))
    weights = (
        entropy_weights(probabilities) if entropy_conditioning else torch.ones_like(domain_logits)
    )
    loss = weighted_domain_bce(domain_logits, weights, mid_count)
    return loss, domain_accuracy(domain_logits[:mid_count], domain_logits[mid_count:])


def entropy_weights(probabilities: Tensor) -> Tensor:
    """1 + exp(-H(p)) of (N, K), (N,): certain predictions are easier to align (CDAN+E)."""
    entropy = -(probabilities * torch.log(probabilities.clamp_min(1e-12))).sum(1)
    return 1 + torch.exp(-entropy)


def weighted_domain_bce(logits: Tensor, weights: Tensor, mid_count: int) -> Tensor:
    """0.5 (BCE(mid, 0) + BCE(target, 1)), each the weighted mean over its own images."""
    is_target = torch.zeros_like(logits)
    is_target[mid_count:] = 1
    losses = F.binary_cross_entropy_with_logits(logits, is_target, reduction="none")
    weighted = losses * weights
    mid = weighted[:mid_count].sum() / weights[:mid_count].sum()
    target = weighted[mid_count:].sum() / weights[mid_count:].sum()
    return 0.5 * (mid + target)
