"""Adaptive batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from plankton_da.adaptation.methods.base import Method
from plankton_da.adaptation.methods.source_only import SourceOnly
from plankton_da.config_methods import AdaBNConfig
from plankton_da.config_section import BatchNormMode
from plankton_da.errors import ModelError
from plankton_da.networks.classifier import PlanktonNetwork


class AdaBN(SourceOnly):
    """source_only, then BatchNorm statistics of the target (Li et al., arXiv:1603.04779)."""

    batch_norm: ClassVar[BatchNormMode | None] = "per_domain"

    def __init__(
        self, network: PlanktonNetwork, config: AdaBNConfig, label_smoothing: float
    ) -> None:
        super().__init__(network, config, label_smoothing)
        if network.statistics is None:
            raise ModelError(
                f"method adabn: backbone {network.backbone.name} has no BatchNorm statistics to "
                f"re-estimate; use source_only, or a backbone with BatchNorm"
            )

    def settle(self, target_batches: Iterator[Tensor]) -> None:
        """Re-estimate the target's statistics from its images."""
        Method.settle(self, target_batches)
