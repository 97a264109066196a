"""Domain-adversarial training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from plankton_da.adaptation.methods.base import Method, StepOutput, warm_up
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config_methods import DANNConfig
from plankton_da.networks.classifier import PlanktonNetwork
from plankton_da.networks.discriminators import DomainDiscriminator
from plankton_da.networks.grl import grad_reverse


class DANN(Method):
    """Features that the classifier can use and a domain discriminator cannot tell apart.

    Source: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016).
    """

    def __init__(
        self, network: PlanktonNetwork, config: DANNConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        self.discriminator = DomainDiscriminator(network.feature_dim, config.hidden_dim)
        self.grl_strength = config.grl_strength
        self.adversarial_weight = config.adversarial_weight

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Classification loss + adversarial_weight * domain loss; only lambda2 warms up."""
        mid_features, target_features = self.network.pair_features(
            batch.mid_images, batch.target_images
        )
        logits = self.network.classify(mid_features)  # (M, K)
        classification_loss = self.classification_loss(logits, batch.mid_labels)
        strength = self.grl_strength * warm_up(progress)
        features = torch.cat([mid_features, target_features])  # (M + T, F)
        domain_logits = self.discriminator(grad_reverse(features, strength))  # (M + T,)
        mid_domain, target_domain = domain_logits.split([len(mid_features), len(target_features)])
        domain_loss = domain_bce(mid_domain, target_domain)
        loss = classification_loss + self.adversarial_weight * domain_loss
        return StepOutput(
            loss,
            logits.detach(),
            {
                "classification_loss": classification_loss.detach(),
                "domain_loss": domain_loss.detach(),
                "domain_accuracy": domain_accuracy(mid_domain, target_domain),
                "lambda2": strength.detach(),
            },
            classification_loss,
        )


def domain_bce(mid_logits: Tensor, target_logits: Tensor) -> Tensor:
    """0.5 (BCE(mid, 0) + BCE(target, 1)) of logits (M,) and (T,); ln 2 when D knows nothing."""
    mid = F.binary_cross_entropy_with_logits(mid_logits, torch.zeros_like(mid_logits))
    target = F.binary_cross_entropy_with_logits(target_logits, torch.ones_like(target_logits))
    return 0.5 * (mid + target)


@torch.no_grad()
def domain_accuracy(mid_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Mean over the two instruments of the share of images that D places rightly."""
    return 0.5 * ((mid_logits < 0).float().mean() + (target_logits > 0).float().mean())
