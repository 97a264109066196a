"""What a method is: a module from a batch of two instruments to a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import BatchNormMode
from plankton_da.networks.batch_norm import estimate_statistics
from plankton_da.networks.classifier import PlanktonNetwork


@dataclass(frozen=True)
class StepOutput:
    """What one step gives."""

    loss: Tensor
    """() to be minimised"""
    mid_logits: Tensor
    """(M, K), detached"""
    scalars: dict[str, Tensor]
    """name -> () detached; logged as ``train/<name>``"""
    task_loss: Tensor | None = None
    """() ``loss`` without its adversarial part, where it has one"""


class Method(nn.Module):
    """Base of all methods: owns the network and what learns beside it, but no optimizer.

    Parameters
    ----------
    network
        The network that learns.
    config
        The method's config section.
    label_smoothing
        Probability mass spread evenly over all classes in the classification loss.
    """

    adapts: ClassVar[bool] = True
    """whether a step needs target images"""
    takes_features: ClassVar[bool] = True
    """whether what frozen stages gave may stand in place of images"""
    batch_norm: ClassVar[BatchNormMode | None] = None
    """the only BatchNorm mode that the method can use; None: any"""
    source_free: ClassVar[bool] = False
    """whether a step does without images of mid"""
    needs_strong_view: ClassVar[bool] = False
    """whether a step needs ``target_strong_images``"""

    few_labels_weight: float = 1.0
    """weight of the classification loss on labelled target images, where a batch has any"""
    refresh_every: int = 0
    """steps between two calls of ``refresh``, the first before the first step; 0: none"""

    def __init__(self, network: PlanktonNetwork, config: Any, label_smoothing: float) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing

    @property
    def deployed(self) -> PlanktonNetwork:
        """The network that is evaluated and goes into the bundle."""
        return self.network

    def forward(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """One step's loss; ``progress`` () runs from 0 to 1 over the training."""
        output = self.step(batch, progress)
        if batch.few_images is None or batch.few_labels is None:
            return output
        self.network.use_domain("target")
        logits = self.network(batch.few_images)  # (F, K)
        self.network.use_domain("mid")
        few_loss = self.classification_loss(logits, batch.few_labels)
        weighted = self.few_labels_weight * few_loss
        return StepOutput(
            output.loss + weighted,
            output.mid_logits,
            {**output.scalars, "few_labels_loss": few_loss.detach()},
            None if output.task_loss is None else output.task_loss + weighted,
        )

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """The method's own loss: on mid with its labels, on the target without."""
        raise NotImplementedError

    def divide(self, images: Tensor) -> bool:
        """Whether frozen stages come apart, so that what they give may stand in place of images.

        Tried on ``images`` (N, C, H, W) uint8.
        """
        return self.network.divide(images)

    def allocate(self, target_images: int) -> None:
        """Make room for what is kept per target image, before a checkpoint is loaded."""

    def prepare(self, classes: tuple[str, ...], preprocess_hash: str, uri: str | None) -> None:
        """Open other bundles that the method learns from; ``uri`` is the tracking server's."""

    def refresh(self, rows: Tensor, images: Callable[[], Iterator[Tensor]]) -> None:
        """Look at the target images ``rows`` (N,) of the next ``refresh_every`` steps.

        ``images`` gives them in that order, without augmentation, in batches (B, C, H, W) uint8.
        """

    def settle(self, target_batches: Iterator[Tensor]) -> None:
        """Make ``deployed`` ready to predict; ``target_batches`` are images (N, C, H, W) uint8.

        Statistics per domain: the target's are re-estimated from its images as they are, since
        those gathered in training are of augmented images and of many states of the network.
        """
        network = self.deployed
        if network.statistics is None:
            return
        training = network.training
        network.eval()
        network.use_domain("target")
        estimate_statistics(network.learning_batch_norms(), network.features, target_batches)
        network.use_domain("mid")
        network.train(training)

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Label-smoothed cross entropy of logits (M, K) and labels (M,), the mean over M."""
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


def warm_up(progress: Tensor) -> Tensor:
    """From 0 to 1: 2 / (1 + exp(-10 p)) - 1 (Ganin et al., JMLR 2016, section 5.2.2)."""
    return 2 / (1 + torch.exp(-10 * progress)) - 1
