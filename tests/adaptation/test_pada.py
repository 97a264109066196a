"""Partial adversarial adaptation against its formula, and a target that lacks a class of mid."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.pairs import UdaBatch

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
PROGRESS = 0.3


@pytest.mark.parametrize("adversarial_weight", [1.0, 1.5])
def test_loss_and_gradients_equal_plain_torch(
    adversarial_weight: float, method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of(
        "pada",
        model={"batch_norm": "frozen", "bottleneck_dim": 6},
        grl_strength=0.6,
        adversarial_weight=adversarial_weight,
        hidden_dim=16,
        class_weights_decay=0.3,
    ).double()
    network, batch = method.network, batch_of(0)
    with torch.no_grad():
        network.head.weight.mul_(20)  # classes that differ
        method.class_weights.fill_(0.2)  # not rounded to single precision
    output = method(batch, torch.tensor(PROGRESS, dtype=torch.float64))
    output.loss.backward()

    mid, target = network.pair_features(batch.mid_images, batch.target_images)
    said = torch.softmax(network.head(target), 1).detach()
    gamma = [0.3 / 5 + 0.7 * float(said[:, k].mean()) for k in range(5)]
    assert max(gamma) > 2 * min(gamma)
    weights = torch.tensor([gamma[int(label)] for label in batch.mid_labels], dtype=torch.float64)
    log_p = torch.log_softmax(network.head(mid), 1)
    smoothed = torch.full_like(log_p, 0.1 / 5)
    smoothed[torch.arange(8), batch.mid_labels] += 0.9
    task = (weights * -(smoothed * log_p).sum(1)).sum() / weights.sum()
    d_mid, d_target = (torch.sigmoid(method.discriminator(f)) for f in (mid, target))
    of_mid = (weights * -torch.log(1 - d_mid)).sum() / weights.sum()
    adversarial = 0.5 * (of_mid - torch.log(d_target).mean())
    torch.testing.assert_close(output.loss, task + adversarial_weight * adversarial)
    lambda2 = 0.6 * (2 / (1 + math.exp(-10 * PROGRESS)) - 1)
    learning = dict(method.named_parameters())
    of_task, of_domain = (
        torch.autograd.grad(
            loss, list(learning.values()), retain_graph=True, materialize_grads=True
        )
        for loss in (task, adversarial)
    )
    for (key, parameter), ours, domain in zip(learning.items(), of_task, of_domain, strict=True):
        sign = 1.0 if key.startswith("discriminator") else -lambda2
        expected = ours + adversarial_weight * sign * domain
        torch.testing.assert_close(parameter.grad, expected, atol=1e-10, rtol=1e-8, msg=key)


def test_equal_class_weights_are_dann(method_of: MethodOf, batch_of: BatchOf) -> None:
    model = {"batch_norm": "frozen"}
    pada, dann = method_of("pada", model=model), method_of("dann", model=model)
    dann.discriminator.load_state_dict(pada.discriminator.state_dict())
    pada._weigh = lambda features: None  # type: ignore[method-assign]
    losses = [method(batch_of(0), torch.tensor(0.4)).loss for method in (pada, dann)]
    torch.testing.assert_close(*losses)


def test_the_discriminator_starts_knowing_nothing_and_alive(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("pada")
    output = method(batch_of(0), torch.tensor(0.0))
    assert output.scalars["domain_loss"].item() == pytest.approx(math.log(2), abs=0.02)
    output.loss.backward()
    for key, parameter in method.discriminator.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0, key


def test_class_weights_follow_the_target_s_predictions_and_are_part_of_the_state(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("pada", class_weights_decay=0.5)
    assert torch.equal(method.class_weights, torch.full((5,), 0.2))
    with torch.no_grad():
        method.network.head.weight.zero_()
        method.network.head.bias.copy_(torch.tensor([40.0, 0, 0, 0, 0]))
    for _ in range(3):
        method(batch_of(0), torch.tensor(0.5))
    expected = 0.2 * 0.5**3
    torch.testing.assert_close(
        method.class_weights, torch.tensor([1 - 4 * expected, *[expected] * 4])
    )
    assert "class_weights" in method.state_dict()


def test_a_class_that_the_target_lacks_takes_no_images_away(
    quadrant_method: MethodOf, quadrant_images: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Mid's class 2 overlaps its class 1; the target has classes 0 and 1 alone, unmoved."""

    def draw(centres: torch.Tensor) -> torch.Tensor:
        levels = torch.full((len(centres), 4), 127.0)
        levels[:, 0] += 30 * (centres + 0.7 * torch.randn(len(centres)))
        return quadrant_images(levels)

    def learn(name: str, **settings: float) -> tuple[float, Method]:
        torch.manual_seed(0)
        mid_labels, labels = torch.arange(900) % 3, torch.arange(600) % 2
        mid = draw(torch.tensor([-3.0, 0.0, 1.2])[mid_labels])
        target = draw(torch.tensor([-3.0, 0.0])[labels])
        method = quadrant_method(name, 3, **settings)
        optimizer = torch.optim.SGD(method.parameters(), lr=0.3, momentum=0.9)
        for step in range(300):
            rows, others = torch.randint(0, 900, (96,)), torch.randint(0, 600, (96,))
            batch = UdaBatch(mid[rows], mid_labels[rows], target[others])
            optimizer.zero_grad()
            method(batch, torch.tensor(step / 300)).loss.backward()
            optimizer.step()
        with torch.no_grad():
            predicted = method.network.eval()(target).argmax(1)
        return float((predicted == labels).float().mean()), method

    assert learn("source_only")[0] < 0.88
    accuracy, method = learn("pada", hidden_dim=32, class_weights_decay=0.95)
    assert accuracy > 0.96
    assert method.class_weights[2] < 0.4 * method.class_weights[:2].min()
