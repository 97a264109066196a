"""The conditional adversarial method, against its formula in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.methods.cdan import Conditioning, entropy_weights
from plankton_da.adaptation.methods.mcc import class_confusion
from plankton_da.adaptation.pairs import UdaBatch

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
PROGRESS = 0.3


@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize("mcc_weight", [0.0, 0.5])
def test_gradients_equal_plain_torch(
    method_of: MethodOf, batch_of: BatchOf, entropy: bool, mcc_weight: float
) -> None:
    settings = {"grl_strength": 0.6, "adversarial_weight": 1.5, "mcc_weight": mcc_weight}
    method = method_of(
        "cdan",
        model={"batch_norm": "frozen", "bottleneck_dim": 6},
        hidden_dim=16,
        entropy_conditioning=entropy,
        **settings,
    ).double()
    batch = batch_of(0)
    method(batch, torch.tensor(PROGRESS, dtype=torch.float64)).loss.backward()

    network, discriminator = method.network, method.discriminator
    mid, target = network.pair_features(batch.mid_images, batch.target_images)
    mid_logits, target_logits = network.head(mid), network.head(target)
    log_p = torch.log_softmax(mid_logits, 1)
    smoothed = torch.full_like(log_p, 0.1 / 5)
    smoothed[torch.arange(8), batch.mid_labels] += 0.9
    task = -(smoothed * log_p).sum(1).mean() + mcc_weight * class_confusion(target_logits, 2.5)

    def side(features: torch.Tensor, logits: torch.Tensor, domain: int) -> torch.Tensor:
        p = torch.softmax(logits, 1).detach()
        joint = torch.stack([torch.outer(q, f).flatten() for q, f in zip(p, features, strict=True)])
        d = torch.sigmoid(discriminator(joint))
        losses = -torch.log(d if domain else 1 - d)
        entropies = -(p * p.log()).sum(1)
        weights = 1 + torch.exp(-entropies) if entropy else torch.ones_like(losses)
        return (weights * losses).sum() / weights.sum()

    adversarial = 0.5 * (side(mid, mid_logits, 0) + side(target, target_logits, 1))
    lambda2 = 0.6 * (2 / (1 + math.exp(-10 * PROGRESS)) - 1)
    for key, parameter in method.named_parameters():
        of_task, of_domain = (
            torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)[0]
            for loss in (task, adversarial)
        )
        expected = torch.zeros_like(parameter)
        if of_task is not None:
            expected = expected + of_task
        if of_domain is not None:
            sign = 1.0 if key.startswith("discriminator") else -lambda2
            expected = expected + 1.5 * sign * of_domain
        torch.testing.assert_close(parameter.grad, expected, atol=1e-10, rtol=1e-8, msg=key)


def test_the_discriminator_starts_knowing_nothing_and_alive(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("cdan")
    output = method(batch_of(0), torch.tensor(0.0))
    assert output.scalars["domain_loss"].item() == pytest.approx(math.log(2), abs=0.02)
    output.loss.backward()
    for key, parameter in method.discriminator.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0, key


def test_wide_products_are_mapped_at_random_and_keep_inner_products() -> None:
    """E <map(f, p), map(g, q)> = <f, g> <p, q> (section 3.2)."""
    torch.manual_seed(0)
    condition = Conditioning(1280, 10)
    assert condition.width == 1024
    f, g = torch.nn.functional.normalize(torch.randn(2, 1280) + 1, dim=1)
    p, q = torch.softmax(torch.randn(2, 10), 1)
    a, b = condition(torch.stack([f, g]), torch.stack([p, q]))
    assert float(a @ b) == pytest.approx(float(f @ g) * float(p @ q), abs=0.05)
    assert Conditioning(256, 10).width == 2560


def test_the_map_is_part_of_the_state(method_of: MethodOf) -> None:
    method = method_of("cdan", model={"backbone": "test_vit", "bottleneck_dim": 1024})
    assert "condition.feature_map" in method.state_dict()


def test_certain_predictions_weigh_more() -> None:
    weights = entropy_weights(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    torch.testing.assert_close(weights, torch.tensor([2.0, 1.5]))


def test_it_aligns_classes_where_dann_s_discriminator_is_blind() -> None:
    """The target's classes are swapped against mid's: the marginals agree, the classes do not.

    A discriminator of features cannot tell the domains apart; one of features and classes can.
    """
    torch.manual_seed(0)
    from plankton_da.adaptation.methods.dann import domain_accuracy, domain_bce
    from plankton_da.networks.discriminators import DomainDiscriminator

    labels = torch.arange(400) % 2
    sign = torch.where(labels == 1, 1.0, -1.0)[:, None]
    noise = 0.1 * torch.randn(400, 2)
    mid, target = sign * torch.ones(1, 2) + noise, -sign * torch.ones(1, 2) + noise
    p = torch.nn.functional.one_hot(labels, 2).float()

    def learnt(left: torch.Tensor, right: torch.Tensor) -> float:
        discriminator = DomainDiscriminator(left.shape[1], 32)
        optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1, momentum=0.9)
        for _ in range(200):
            optimizer.zero_grad()
            domain_bce(discriminator(left), discriminator(right)).backward()
            optimizer.step()
        return float(domain_accuracy(discriminator(left), discriminator(right)))

    condition = Conditioning(2, 2)
    assert learnt(mid, target) < 0.75
    assert learnt(condition(mid, p), condition(target, p)) > 0.98
