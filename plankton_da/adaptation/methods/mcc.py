"""Minimum class confusion."""

from __future__ import annotations

import torch
from torch import Tensor

from plankton_da.adaptation.methods.base import Method, StepOutput
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config_methods import MCCConfig
from plankton_da.networks.classifier import PlanktonNetwork


class MCC(Method):
    """Predictions on the target that confuse no two classes; no discriminator.

    Source: Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020.
    """

    def __init__(self, network: PlanktonNetwork, config: MCCConfig, label_smoothing: float) -> None:
        super().__init__(network, config, label_smoothing)
        self.mcc_weight = config.mcc_weight
        self.temperature = config.temperature

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Classification loss on mid plus mcc_weight times the class confusion on the target."""
        mid_features, target_features = self.network.pair_features(
            batch.mid_images, batch.target_images
        )
        logits = self.network.classify(mid_features)  # (M, K)
        classification_loss = self.classification_loss(logits, batch.mid_labels)
        target_logits = self.network.classify(target_features)  # (T, K)
        confusion_loss = class_confusion(target_logits, self.temperature)
        return StepOutput(
            classification_loss + self.mcc_weight * confusion_loss,
            logits.detach(),
            {
                "classification_loss": classification_loss.detach(),
                "confusion_loss": confusion_loss.detach(),
            },
        )


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """Mean share of each class's predicted mass that other classes claim too; () in [0, 1].

    Equations 1 to 6 of the paper: P = softmax(logits / T); each image weighs 1 + exp(-H(P)), scaled
    to mean 1, without gradient; C = P^T W P, rows scaled to sum 1; the mean off-diagonal row sum.

    Parameters
    ----------
    logits
        (T, K)
    temperature
        T, over 1, so that confident errors do not hide the runners-up.
    """
    probabilities = torch.softmax(logits / temperature, dim=1)  # (T, K)
    entropy = -(probabilities * torch.log_softmax(logits / temperature, dim=1)).sum(1)  # (T,)
    weights = 1 + torch.exp(-entropy.detach())
    weights = weights * len(weights) / weights.sum()
    confusion = (probabilities * weights[:, None]).T @ probabilities  # (K, K)
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / len(confusion)
