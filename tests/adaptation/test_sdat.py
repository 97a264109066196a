"""Smooth adversarial training, against two plain passes written out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from plankton_da.adaptation.gradients import compute_gradients
from plankton_da.adaptation.methods import Method, StepOutput
from plankton_da.adaptation.methods.dann import domain_bce
from plankton_da.adaptation.methods.mcc import class_confusion
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import SMOOTHED_METHODS
from plankton_da.config_reading import parse_config
from plankton_da.errors import ConfigError
from plankton_da.networks.grl import grad_reverse

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
RHO = 0.05
PROGRESS = torch.tensor(0.3, dtype=torch.float64)


def gradients(method: Method, batch: UdaBatch, sdat: float | None) -> dict[str, torch.Tensor]:
    method.zero_grad()
    compute_gradients(method, batch, PROGRESS, sdat=sdat, autocast=nullcontext())
    return {key: p.grad.clone() for key, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("mode", ["frozen", "per_domain"])
def test_gradients_are_dann_s_at_weights_moved_along_the_classification_loss(
    mode: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    model = {"batch_norm": mode}
    method = method_of("dann", model=model, hidden_dim=8, grl_strength=0.7, adversarial_weight=1.5)
    method, batch = method.double(), batch_of(0)
    found = gradients(method, batch, RHO)

    network, discriminator = method.network, method.discriminator
    own = dict(network.named_parameters())

    def task_loss() -> torch.Tensor:
        network.use_domain("mid")
        logits = network.head(network.features(batch.mid_images))
        return F.cross_entropy(logits, batch.mid_labels, label_smoothing=0.1)

    ascent = torch.autograd.grad(task_loss(), list(own.values()))
    length = torch.sqrt(sum((g**2).sum() for g in ascent))
    with torch.no_grad():
        for parameter, gradient in zip(own.values(), ascent, strict=True):
            parameter += RHO * gradient / length
    strength = 0.7 * (2 / (1 + torch.exp(-10 * PROGRESS)) - 1)
    network.use_domain("mid")
    mid = network.features(batch.mid_images)
    network.use_domain("target")
    target = network.features(batch.target_images)
    of_mid, of_target = (discriminator(grad_reverse(f, strength)) for f in (mid, target))
    method.zero_grad()
    (task_loss() + 1.5 * domain_bce(of_mid, of_target)).backward()
    for key, parameter in method.named_parameters():
        torch.testing.assert_close(found[key], parameter.grad, atol=1e-9, rtol=1e-7, msg=key)


SETTINGS: dict[str, dict[str, Any]] = {
    "cdan": {"hidden_dim": 8, "mcc_weight": 0.5},
    "mcc": {},
    "dann": {"hidden_dim": 8},
    "pada": {"hidden_dim": 8},
}


@pytest.mark.parametrize("name", SMOOTHED_METHODS)
def test_weights_and_what_a_step_remembers_are_as_after_a_plain_step(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    """But for gradients: only those differ, and they do."""
    states, found = [], []
    for sdat in (None, RHO):
        model = {"batch_norm": "per_domain", "bottleneck_dim": 4}
        method = method_of(name, model=model, **SETTINGS[name])
        found.append(gradients(method, batch_of(0), sdat))
        states.append(method.state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
    assert found[0].keys() == found[1].keys()
    assert not torch.equal(found[0]["network.head.weight"], found[1]["network.head.weight"])


@pytest.mark.parametrize("name", SMOOTHED_METHODS)
def test_a_vanishing_rho_is_the_plain_step(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    model = {"batch_norm": "frozen", "bottleneck_dim": 4}
    plain, smooth = (
        gradients(method_of(name, model=model, **SETTINGS[name]).double(), batch_of(0), sdat)
        for sdat in (None, 1e-9)
    )
    for key, gradient in plain.items():
        torch.testing.assert_close(smooth[key], gradient, atol=1e-6, rtol=1e-4, msg=key)


def test_the_task_loss_of_cdan_is_all_but_the_adversarial_part(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    model = {"batch_norm": "frozen"}
    method = method_of("cdan", model=model, mcc_weight=0.5, adversarial_weight=2.0)
    batch = batch_of(0)
    few = batch._replace(few_images=batch.target_images[:3], few_labels=batch.mid_labels[:3])
    method.few_labels_weight = 3.0
    output = method(few, torch.tensor(0.3))
    network = method.network

    def entropy(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(network(images), labels, label_smoothing=0.1)

    expected = entropy(batch.mid_images, batch.mid_labels)
    expected = expected + 0.5 * class_confusion(network(batch.target_images), 2.5)
    expected = expected + 3 * entropy(few.few_images, few.few_labels)
    torch.testing.assert_close(output.task_loss, expected)
    torch.testing.assert_close(output.loss, expected + 2 * output.scalars["domain_loss"])


def test_it_stays_in_a_wide_minimum_and_not_in_one_narrower_than_rho() -> None:
    class TwoMinima(torch.nn.Module):
        def __init__(self, start: float) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor(start))

        def forward(self, batch: object, progress: object) -> StepOutput:
            narrow = -torch.exp(-((self.w / 0.05) ** 2)) * 0.3
            wide = 0.5 * (self.w - 1) ** 2
            return StepOutput(narrow + wide, torch.zeros(0, 1), {})

    def descend(start: float, sdat: float | None) -> float:
        method = TwoMinima(start)
        optimizer = torch.optim.SGD(method.parameters(), lr=0.002)
        for _ in range(1000):
            optimizer.zero_grad()
            compute_gradients(method, None, None, sdat=sdat, autocast=nullcontext())  # type: ignore[arg-type]
            optimizer.step()
        return float(method.w.detach())

    assert abs(descend(0.02, None)) < 0.02
    assert abs(descend(0.02, 0.2)) > 0.15
    assert descend(1.0, 0.2) == pytest.approx(1, abs=0.01)


def test_methods_without_a_task_loss_of_their_own_refuse_it() -> None:
    raw = {"data": {"mid": "m.csv", "target": "t.csv"}, "method": {"name": "source_only"}}
    with pytest.raises(ConfigError, match=r"optimizer\.sdat is for the methods dann, cdan, mcc"):
        parse_config({**raw, "optimizer": {"sdat": 0.02}})
