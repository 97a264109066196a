"""Self-training on a teacher's labels."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from plankton_da.adaptation.methods.base import StepOutput
from plankton_da.adaptation.methods.teacher import TeacherMethod, soft_cross_entropy
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.ranks import mean_over_ranks
from plankton_da.config_methods import SelfTrainingConfig
from plankton_da.networks.classifier import PlanktonNetwork


class SelfTraining(TeacherMethod):
    """The strongly augmented target learns what a teacher says of the weakly augmented one.

    The teacher's labels are drawn towards the target's class shares, and count where they are
    sure in comparison with mid: the threshold is relative, since a teacher is less sure on a new
    camera as a whole, and how sure it is changes as it learns.

    Sources: Berthelot et al., "AdaMatch", ICLR 2022 (relative threshold, distribution alignment,
    ramp); Sohn et al., "FixMatch", NeurIPS 2020 (weak and strong views); Saerens et al., Neural
    Computation 14 (2002) (class shares).
    """

    needs_strong_view: ClassVar[bool] = True

    def __init__(
        self, network: PlanktonNetwork, config: SelfTrainingConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        self.shares = ClassShares(network.head.out_features, config.shares_decay)
        self.config = config

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Classification loss on mid plus the ramped cross entropy on labels that are sure."""
        if batch.target_strong_images is None:
            raise ValueError("self_training needs target_strong_images in its batches")
        self.teacher.follow(self.network)
        mid_taught = self.teacher.probabilities(batch.mid_images, "mid")  # (M, K)
        taught = self.teacher.probabilities(batch.target_images, "target")  # (T, K)
        self.shares.follow(mid_taught, taught)
        labels = self._aligned(taught)  # (T, K)
        threshold = self.config.threshold * mean_over_ranks(mid_taught.amax(1).mean())
        kept = (labels.amax(1) >= threshold).to(labels.dtype)  # (T,)
        weights = labels @ self.shares.balance(self.config.class_balance)  # (T,)

        student = self.student(batch, batch.target_strong_images, progress)
        entropies = soft_cross_entropy(student.view_logits, labels)  # (T,)
        self_training_loss = (kept * weights * entropies).mean()
        weight = self.config.self_training_weight * ramp(progress)
        return StepOutput(
            student.loss + weight * self_training_loss,
            student.mid_logits.detach(),
            {
                **student.scalars,
                "self_training_loss": self_training_loss.detach(),
                "confidence_threshold": threshold,
                "kept_share": kept.mean(),
                "largest_class_share": self.shares.prior.amax().clone(),
            },
        )

    def _aligned(self, taught: Tensor) -> Tensor:
        """The teacher's probabilities (T, K), their mean drawn towards the class shares."""
        if self.config.align_to == "none":
            return taught
        wanted = self.shares.prior if self.config.align_to == "estimated" else self.shares.mid
        drawn = taught * (wanted / self.shares.target)
        return drawn / drawn.sum(1, keepdim=True)


class ClassShares(nn.Module):
    """Running class shares of mid's and the target's predictions, and the target's estimated ones.

    ``prior`` follows one round of expectation maximisation at each batch (online MLLS): the mean of
    the target's predictions, each first corrected from mid's shares to ``prior``. All start equal.
    """

    mid: Tensor
    target: Tensor
    prior: Tensor

    def __init__(self, num_classes: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        for name in ("mid", "target", "prior"):
            self.register_buffer(name, torch.full((num_classes,), 1 / num_classes))

    @torch.no_grad()
    def follow(self, mid_probabilities: Tensor, target_probabilities: Tensor) -> None:
        """Take the predictions (M, K) and (T, K) of a batch in."""
        arriving = 1 - self.decay
        self.mid.lerp_(_share(mid_probabilities).to(self.mid.dtype), arriving)
        self.target.lerp_(_share(target_probabilities).to(self.mid.dtype), arriving)
        corrected = target_probabilities * (self.prior / self.mid)  # (T, K)
        corrected = corrected / corrected.sum(1, keepdim=True)
        self.prior.lerp_(_share(corrected).to(self.mid.dtype), arriving)

    def balance(self, power: float) -> Tensor:
        """Weight of each class (K,): (mid / prior)^power; over the target their mean is 1.

        With power 1 the target's classes count as often as mid's do, with 0 as they come.
        """
        weights = (self.mid / self.prior) ** power
        return weights / (self.prior * weights).sum()


def _share(probabilities: Tensor) -> Tensor:
    """Mean (K,) of probabilities (N, K) over the whole batch, however it is divided."""
    return mean_over_ranks(probabilities.mean(0))


def ramp(progress: Tensor) -> Tensor:
    """From 0 to 1 over the first half of the training (AdaMatch, equation 6)."""
    return 0.5 - 0.5 * torch.cos((2 * math.pi * progress).clamp(max=math.pi))
