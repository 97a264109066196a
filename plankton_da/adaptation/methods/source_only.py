"""No adaptation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from plankton_da.adaptation.methods.base import Method, StepOutput
from plankton_da.adaptation.pairs import UdaBatch


class SourceOnly(Method):
    """Learn from mid alone: the yardstick of every other method."""

    adapts: ClassVar[bool] = False

    def step(self, batch: UdaBatch, progress: Tensor) -> StepOutput:
        """Label-smoothed cross entropy on mid."""
        logits = self.network(batch.mid_images)  # (M, K)
        loss = self.classification_loss(logits, batch.mid_labels)
        return StepOutput(loss, logits.detach(), {"classification_loss": loss.detach()})

    def settle(self, target_batches: Iterator[Tensor]) -> None:
        """The target is seen with mid's BatchNorm statistics."""
        if self.network.statistics is not None:
            self.network.statistics.copy("mid", "target")
