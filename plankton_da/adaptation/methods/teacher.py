"""A teacher: the network's own average over the steps, and methods that learn from one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plankton_da.adaptation.methods.base import Method
from plankton_da.adaptation.methods.companions import Companions
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config_methods import TeacherConfig
from plankton_da.networks.batch_norm import Domain
from plankton_da.networks.classifier import PlanktonNetwork


class Teacher(nn.Module):
    """A network whose weights and statistics are moving averages of a student's.

    It never learns and is always in evaluation mode. The average is over the states since the
    start, the older the less (by ``decay`` each step); the state before the first step, which is
    random where the head is, weighs nothing any more than its age allows.

    Source: Tarvainen & Valpola, "Mean teachers are better role models", NeurIPS 2017.
    """

    mass: Tensor

    def __init__(self, student: PlanktonNetwork, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.decay = decay
        # Of the weights that an endless past would have: else the first state would stand for it.
        self.register_buffer("mass", torch.zeros(()))
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, student: PlanktonNetwork) -> None:
        """Take the student's present state into the average."""
        self.mass.mul_(self.decay).add_(1 - self.decay)
        share = (1 - self.decay) / self.mass  # () 1 at the first call
        present = student.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(present[name], share.to(average.dtype))
            else:
                average.copy_(present[name])

    def divide(self, student: PlanktonNetwork, images: Tensor) -> bool:
        """Come apart where the student does; its frozen stages are the teacher's too."""
        pairs = list(zip(self.network.parameters(), student.parameters(), strict=True))
        for own, other in pairs:
            own.requires_grad_(other.requires_grad)
        comes_apart = self.network.divide(images)
        self.network.requires_grad_(False)
        return comes_apart

    @torch.no_grad()
    def probabilities(self, images: Tensor, domain: Domain) -> Tensor:
        """Images (N, C, H, W) uint8, or frozen stages' features, to probabilities (N, K)."""
        self.network.use_domain(domain)
        return torch.softmax(self.network(images), dim=1)


@dataclass(frozen=True)
class StudentOutput:
    """What the network that learns says in one step."""

    mid_logits: Tensor
    """(M, K)"""
    view_logits: Tensor
    """(T, K) of the view of the target that learns from the teacher"""
    loss: Tensor
    """() classification loss on mid plus what the companions add"""
    scalars: dict[str, Tensor]


class TeacherMethod(Method):
    """Base of methods whose labels for the target come from a teacher."""

    def __init__(
        self, network: PlanktonNetwork, config: TeacherConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        self.teacher = Teacher(network, config.teacher_decay)
        self.companions = Companions(network, config)
        self.deploys_teacher = config.deploy == "teacher"

    @property
    def deployed(self) -> PlanktonNetwork:
        """The teacher's network, or the student's where the config says so."""
        return self.teacher.network if self.deploys_teacher else self.network

    def divide(self, images: Tensor) -> bool:
        """See ``Method.divide``."""
        return super().divide(images) and self.teacher.divide(self.network, images)

    def student(self, batch: UdaBatch, view: Tensor, progress: Tensor) -> StudentOutput:
        """Pass mid and a ``view`` (T, C, H, W) of the target; with companions the target too."""
        views = [batch.target_images, view] if self.companions.active else [view]
        mid_features, target_features = self.network.pair_features(
            batch.mid_images, torch.cat(views)
        )
        mid_logits = self.network.classify(mid_features)  # (M, K)
        target_logits = self.network.classify(target_features)  # (T, K) or (2T, K)
        classification_loss = self.classification_loss(mid_logits, batch.mid_labels)
        loss, scalars = classification_loss, {"classification_loss": classification_loss.detach()}
        if self.companions.active:
            plain = len(batch.target_images)
            beside, more = self.companions(
                mid_features, target_features[:plain], mid_logits, target_logits[:plain], progress
            )
            loss, scalars = loss + beside, {**scalars, **more}
            target_logits = target_logits[plain:]
        return StudentOutput(mid_logits, target_logits, loss, scalars)


def soft_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits (N, K) against probabilities (N, K), (N,)."""
    return F.cross_entropy(logits, labels, reduction="none")
