"""Which instrument does a feature come from?"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class DomainDiscriminator(nn.Module):
    """Two hidden layers with ReLU and one logit: < 0 says mid, > 0 says target.

    No normalisation layer: BatchNorm over a batch that holds both instruments would let each
    image's logit depend on its neighbours. No sigmoid: the loss is BCE with logits.
    """

    def __init__(self, in_features: int, hidden_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, F) to logits (N,)."""
        return cast(Tensor, self.layers(features)).squeeze(1)
