"""The adversarial method, against the formula written out in plain torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.methods.dann import domain_bce
from plankton_da.adaptation.optimizers import create_optimizer
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import SGDConfig
from plankton_da.networks.discriminators import DomainDiscriminator

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
PROGRESS = 0.3
OPTIMIZER = SGDConfig(lr=0.05, backbone_lr_multiplier=0.2, weight_decay=1e-3)


def step(method: Method, batch: UdaBatch, progress: float = PROGRESS) -> None:
    optimizer = create_optimizer(method, OPTIMIZER)
    method(batch, torch.tensor(progress, dtype=torch.float64)).loss.backward()
    optimizer.step()


def plain_step(method: Method, batch: UdaBatch, lambda2: float, lambda3: float) -> None:
    """The same update without GRL, ``StepOutput``, ``pair_features`` or our losses.

    dCE and dADV are taken apart, and put together as DANN defines it: backbone
    dCE - lambda2 lambda3 dADV, discriminator lambda3 dADV, head dCE.
    """
    network, discriminator = method.network, method.discriminator
    backbone = dict(network.backbone.named_parameters(prefix="backbone"))
    head = dict(network.head.named_parameters(prefix="head"))
    own = dict(discriminator.named_parameters(prefix="discriminator"))

    def features(images: torch.Tensor, domain: str) -> torch.Tensor:
        network.use_domain(domain)
        normalised = ((images.double() / 255 - 0.5) / 0.5).expand(-1, 3, -1, -1)
        normalised = normalised.to(memory_format=torch.channels_last)
        return network.backbone.network.forward_features(normalised).mean((2, 3))

    mid = features(batch.mid_images, "mid")
    target = features(batch.target_images, "target")
    network.use_domain("mid")
    log_p = torch.log_softmax(network.head(mid), dim=1)
    smoothed = torch.full_like(log_p, 0.1 / 5)
    smoothed[torch.arange(len(mid)), batch.mid_labels] += 0.9
    classification = -(smoothed * log_p).sum(1).mean()
    of_mid = torch.sigmoid(discriminator(mid))
    of_target = torch.sigmoid(discriminator(target))
    adversarial = 0.5 * (-torch.log(1 - of_mid).mean() - torch.log(of_target).mean())

    def grads(loss: torch.Tensor, named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = torch.autograd.grad(loss, list(named.values()), retain_graph=True)
        return dict(zip(named, found, strict=True))

    dce, dadv = grads(classification, {**backbone, **head}), grads(adversarial, {**backbone, **own})
    wanted = {key: dce[key] - lambda2 * lambda3 * dadv[key] for key in backbone}
    wanted |= {key: dce[key] for key in head} | {key: lambda3 * dadv[key] for key in own}
    with torch.no_grad():
        for key, parameter in {**backbone, **head, **own}.items():
            rate = OPTIMIZER.lr * (OPTIMIZER.backbone_lr_multiplier if key in backbone else 1)
            grad = wanted[key] + OPTIMIZER.weight_decay * parameter
            # The first Nesterov step: the momentum buffer is the gradient itself.
            parameter -= rate * (grad + OPTIMIZER.momentum * grad)


@pytest.mark.parametrize("batch_norm", ["frozen", "per_domain"])
@pytest.mark.parametrize(("grl_strength", "adversarial_weight"), [(1.0, 1.0), (0.3, 2.0)])
def test_the_whole_step_equals_plain_torch(
    method_of: MethodOf,
    batch_of: BatchOf,
    batch_norm: str,
    grl_strength: float,
    adversarial_weight: float,
) -> None:
    ours = method_of(
        "dann",
        model={"batch_norm": batch_norm},
        grl_strength=grl_strength,
        adversarial_weight=adversarial_weight,
        hidden_dim=16,
    ).double()
    plain = copy.deepcopy(ours)
    step(ours, batch_of(0))
    lambda2 = grl_strength * (2 / (1 + math.exp(-10 * PROGRESS)) - 1)
    plain_step(plain, batch_of(0), lambda2, adversarial_weight)
    expected = dict(plain.named_parameters())
    for key, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, expected[key], atol=1e-10, rtol=1e-8, msg=key)


def test_strength_zero_leaves_the_network_source_only_s_while_d_learns(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    model = {"batch_norm": "frozen"}
    dann = method_of("dann", model=model, grl_strength=0.0)
    source_only = method_of("source_only", model=model)
    assert torch.equal(dann.network.head.weight, source_only.network.head.weight)
    before = copy.deepcopy(dann.discriminator.state_dict())
    step(dann, batch_of(0))
    step(source_only, batch_of(0))
    expected = dict(source_only.network.named_parameters())
    for key, parameter in dann.network.named_parameters():
        torch.testing.assert_close(parameter, expected[key], atol=1e-7, rtol=1e-6, msg=key)
    for key, value in dann.discriminator.state_dict().items():
        assert not torch.equal(value, before[key]), key


def test_the_discriminator_starts_knowing_nothing_and_alive(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("dann")
    output = method(batch_of(0), torch.tensor(0.0))
    assert output.scalars["domain_loss"].item() == pytest.approx(math.log(2), abs=0.02)
    output.loss.backward()
    for key, parameter in method.discriminator.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0, key


def test_the_discriminator_learns_separable_features_in_100_steps() -> None:
    torch.manual_seed(0)
    discriminator = DomainDiscriminator(16, 64)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    mid, target = torch.randn(200, 16), torch.randn(200, 16) + 1
    for _ in range(100):
        optimizer.zero_grad()
        domain_bce(discriminator(mid), discriminator(target)).backward()
        optimizer.step()
    right = (discriminator(mid) < 0).float().mean() + (discriminator(target) > 0).float().mean()
    assert right / 2 > 0.95


def test_an_image_s_domain_logit_does_not_depend_on_its_neighbours() -> None:
    discriminator = DomainDiscriminator(16, 8).train()
    features = torch.randn(6, 16)
    alone = torch.cat([discriminator(features[row : row + 1]) for row in range(6)])
    torch.testing.assert_close(discriminator(features), alone, atol=1e-6, rtol=1e-5)


def test_domain_bce_is_the_formula_and_weighs_both_instruments_equally() -> None:
    mid, target = torch.randn(3), torch.randn(7)
    expected = 0.5 * (
        F.binary_cross_entropy(torch.sigmoid(mid), torch.zeros(3))
        + F.binary_cross_entropy(torch.sigmoid(target), torch.ones(7))
    )
    torch.testing.assert_close(domain_bce(mid, target), expected)


def test_only_lambda2_is_warmed_up(method_of: MethodOf, batch_of: BatchOf) -> None:
    method = method_of("dann", adversarial_weight=1.5)
    early = method(batch_of(0), torch.tensor(0.0))
    assert early.scalars["lambda2"] == 0
    whole = early.scalars["classification_loss"] + 1.5 * early.scalars["domain_loss"]
    torch.testing.assert_close(early.loss.detach(), whole)
