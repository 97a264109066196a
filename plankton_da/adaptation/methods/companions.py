"""Losses that stand beside a method's own: adversarial, and class confusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plankton_da.adaptation.methods.base import warm_up
from plankton_da.adaptation.methods.cdan import Conditioning, conditional_domain_loss
from plankton_da.adaptation.methods.mcc import class_confusion
from plankton_da.config_methods import TeacherConfig
from plankton_da.networks.classifier import PlanktonNetwork
from plankton_da.networks.discriminators import DomainDiscriminator


class Companions(nn.Module):
    """The losses of ``cdan`` and ``mcc``, each where its weight is not 0."""

    def __init__(self, network: PlanktonNetwork, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.active = bool(config.adversarial_weight or config.mcc_weight)
        if config.adversarial_weight:
            self.condition = Conditioning(network.feature_dim, network.head.out_features)
            self.discriminator = DomainDiscriminator(self.condition.width, config.hidden_dim)

    def forward(
        self,
        mid_features: Tensor,
        target_features: Tensor,
        mid_logits: Tensor,
        target_logits: Tensor,
        progress: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Their weighted sum (), and figures to log.

        Parameters
        ----------
        mid_features, target_features
            (M, F), (T, F)
        mid_logits, target_logits
            (M, K), (T, K)
        progress
            () from 0 to 1; warms up the gradient reversal's strength.
        """
        loss = mid_logits.new_zeros(())
        scalars: dict[str, Tensor] = {}
        if self.config.adversarial_weight:
            strength = self.config.grl_strength * warm_up(progress)
            domain_loss, accuracy = conditional_domain_loss(
                self.condition,
                self.discriminator,
                torch.cat([mid_features, target_features]),
                torch.cat([mid_logits, target_logits]),
                len(mid_features),
                strength,
                entropy_conditioning=False,
            )
            loss = loss + self.config.adversarial_weight * domain_loss
            scalars["domain_loss"] = domain_loss.detach()
            scalars["domain_accuracy"] = accuracy
            scalars["lambda2"] = strength.detach()
        if self.config.mcc_weight:
            confusion_loss = class_confusion(target_logits, self.config.mcc_temperature)
            loss = loss + self.config.mcc_weight * confusion_loss
            scalars["confusion_loss"] = confusion_loss.detach()
        return loss, scalars
