"""The gradient reversal layer, exactly."""

from __future__ import annotations

import pytest
import torch

from plankton_da.networks.grl import grad_reverse


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0, 2.5])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_forward_is_the_identity_and_the_gradient_is_minus_strength_times_plain(
    strength: float, as_tensor: bool
) -> None:
    torch.manual_seed(0)
    plain = torch.randn(5, 3, requires_grad=True)
    reversed_ = plain.detach().clone().requires_grad_()
    weights = torch.randn(5, 3)
    (plain * weights).sin().sum().backward()
    factor = torch.tensor(strength) if as_tensor else strength
    out = grad_reverse(reversed_, factor)
    assert torch.equal(out, reversed_)
    (out * weights).sin().sum().backward()
    assert reversed_.grad is not None
    assert plain.grad is not None
    assert torch.equal(reversed_.grad, -strength * plain.grad)


def test_twice_reversed_is_plain() -> None:
    features = torch.randn(4, requires_grad=True)
    grad_reverse(grad_reverse(features, 1.0), 1.0).pow(2).sum().backward()
    assert torch.equal(features.grad, 2 * features.detach())  # type: ignore[arg-type]


def test_no_gradient_reaches_the_strength() -> None:
    strength = torch.tensor(0.5, requires_grad=True)
    grad_reverse(torch.randn(3, requires_grad=True), strength).sum().backward()
    assert strength.grad is None


def test_the_dtype_of_the_features_is_kept() -> None:
    features = torch.randn(3, dtype=torch.bfloat16, requires_grad=True)
    out = grad_reverse(features, torch.tensor(0.5))
    out.sum().backward()
    assert out.dtype is torch.bfloat16
    assert features.grad is not None
    assert features.grad.dtype is torch.bfloat16
    assert torch.equal(features.grad, torch.full((3,), -0.5, dtype=torch.bfloat16))
