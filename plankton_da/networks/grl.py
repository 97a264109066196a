"""The gradient reversal layer (GRL)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


class _GradReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: Tensor) -> Tensor:
        ctx.save_for_backward(strength)
        return features.view_as(features)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Any) -> tuple[Tensor, None]:
        (strength,) = ctx.saved_tensors  # type: ignore[attr-defined]  # absent from torch's stub
        return grads[0] * -strength, None


def grad_reverse(features: Tensor, strength: float | Tensor) -> Tensor:
    """Return ``features`` unchanged; on the way back the gradient is multiplied by ``-strength``.

    Parameters
    ----------
    features
        Any shape, floating point.
    strength
        lambda2 of the objective: a float, or a 0-dim tensor (no recompilation under
        ``torch.compile`` when it changes from step to step). No gradient flows into it.

    Source: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016), eq. 18.
    """
    factor = torch.as_tensor(strength, dtype=features.dtype, device=features.device)
    reversed_features: Tensor = _GradReverse.apply(features, factor.detach())
    return reversed_features
