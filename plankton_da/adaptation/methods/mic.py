"""Masked image consistency."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from plankton_da.adaptation.methods.base import StepOutput
from plankton_da.adaptation.methods.teacher import TeacherMethod
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config_methods import MICConfig
from plankton_da.networks.classifier import PlanktonNetwork


class MIC(TeacherMethod):
    """A target image of which most is hidden gets the class that a teacher sees in the whole.

    So parts of an organism are learnt from their surroundings, not one telling detail alone.

    Source: Hoyer et al., "MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation",
    CVPR 2023, equations 3 to 7.
    """

    takes_features: ClassVar[bool] = False

    def __init__(self, network: PlanktonNetwork, config: MICConfig, label_smoothing: float) -> None:
        super().__init__(network, config, label_smoothing)
        self.config = config

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Classification loss on mid plus the masked image's quality-weighted cross entropy."""
        self.teacher.follow(self.network)
        taught = self.teacher.probabilities(batch.target_images, "target")  # (T, K)
        quality, labels = taught.max(1)  # (T,), (T,)
        masked = mask_patches(
            batch.target_images, self.network.mean, self.config.patch_size, self.config.masked_share
        )
        student = self.student(batch, masked, progress)
        entropies = F.cross_entropy(student.view_logits, labels, reduction="none")  # (T,)
        masked_loss = (quality * entropies).mean()
        return StepOutput(
            student.loss + self.config.masked_weight * masked_loss,
            student.mid_logits.detach(),
            {
                **student.scalars,
                "masked_loss": masked_loss.detach(),
                "teacher_confidence": quality.mean(),
            },
        )


def mask_patches(images: Tensor, fill: Tensor, patch_size: float, share: float) -> Tensor:
    """Hide square patches of images, each patch by the throw of a coin.

    Parameters
    ----------
    images
        (N, C, H, W) uint8
    fill
        (1, C' or 1, 1, 1) grey value of what is hidden: the network's mean, 0 once normalised.
    patch_size
        Side of a patch as a share of the image's smaller side.
    share
        Probability that a patch is hidden.
    """
    height, width = images.shape[-2:]
    side = max(1, round(patch_size * min(height, width)))
    rows, columns = -(-height // side), -(-width // side)
    hidden = torch.rand(len(images), 1, rows, columns, device=images.device) < share
    hidden = hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width]
    if images.shape[1] == 1:
        fill = fill.mean(1, keepdim=True)
    return torch.where(hidden, fill.round().to(images.dtype), images)
