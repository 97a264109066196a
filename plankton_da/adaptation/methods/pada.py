"""Partial adversarial domain adaptation: mid has classes that the target lacks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from plankton_da.adaptation.methods.base import Method, StepOutput, warm_up
from plankton_da.adaptation.methods.cdan import weighted_domain_bce
from plankton_da.adaptation.methods.dann import domain_accuracy
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.ranks import mean_over_ranks
from plankton_da.config_methods import PADAConfig
from plankton_da.networks.classifier import PlanktonNetwork
from plankton_da.networks.discriminators import DomainDiscriminator
from plankton_da.networks.grl import grad_reverse


class PADA(Method):
    """``dann`` in which mid's images count as much as the target seems to have of their class.

    Mid's images of a class that is never predicted on the target neither train the classifier nor
    are matched with the target's.

    Source: Cao et al., "Partial Adversarial Domain Adaptation", ECCV 2018, equations 2 and 3. Here
    the class weights are a running mean over the steps instead of one over all target images now
    and then, and the losses weighted means, so that the weights' scale does not matter.
    """

    class_weights: Tensor

    def __init__(
        self, network: PlanktonNetwork, config: PADAConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        classes = network.head.out_features
        self.discriminator = DomainDiscriminator(network.feature_dim, config.hidden_dim)
        self.register_buffer("class_weights", torch.full((classes,), 1 / classes))
        self.config = config

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Weighted classification loss + adversarial_weight * weighted domain loss."""
        mid_features, target_features = self.network.pair_features(
            batch.mid_images, batch.target_images
        )
        mid_logits = self.network.classify(mid_features)  # (M, K)
        self._weigh(target_features)
        weights = self.class_weights[batch.mid_labels]  # (M,)
        entropies = F.cross_entropy(
            mid_logits, batch.mid_labels, label_smoothing=self.label_smoothing, reduction="none"
        )
        classification_loss = (weights * entropies).sum() / weights.sum()
        strength = self.config.grl_strength * warm_up(progress)
        features = torch.cat([mid_features, target_features])  # (M + T, F)
        domain_logits = self.discriminator(grad_reverse(features, strength))  # (M + T,)
        mid_count = len(mid_features)
        domain_loss = weighted_domain_bce(
            domain_logits, torch.cat([weights, weights.new_ones(len(target_features))]), mid_count
        )
        loss = classification_loss + self.config.adversarial_weight * domain_loss
        scalars = {
            "classification_loss": classification_loss.detach(),
            "domain_loss": domain_loss.detach(),
            "domain_accuracy": domain_accuracy(
                domain_logits[:mid_count], domain_logits[mid_count:]
            ),
            "lambda2": strength.detach(),
            "least_class_weight": self.class_weights.amin() / self.class_weights.amax(),
        }
        return StepOutput(loss, mid_logits.detach(), scalars, classification_loss)

    @torch.no_grad()
    def _weigh(self, target_features: Tensor) -> None:
        probabilities = torch.softmax(self.network.classify(target_features), dim=1)  # (T, K)
        mean = mean_over_ranks(probabilities.mean(0)).to(self.class_weights.dtype)  # (K,)
        self.class_weights.lerp_(mean, 1 - self.config.class_weights_decay)
