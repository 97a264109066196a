"""Self-training against its formulas in plain torch, and a task that mid alone cannot teach."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.methods.mcc import class_confusion
from plankton_da.adaptation.methods.self_training import ClassShares, ramp
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.evaluation.priors import estimate_prior

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
PROGRESS = 0.3


def hand_made(prior: Tensor, p: Tensor, mid: Tensor) -> Tensor:
    """One round of expectation maximisation, image by image."""
    rows = [row * prior / mid for row in p]
    return torch.stack([row / row.sum() for row in rows]).mean(0)


@pytest.mark.parametrize("align_to", ["estimated", "mid", "none"])
@pytest.mark.parametrize("companions", [{}, {"adversarial_weight": 1.5, "mcc_weight": 0.7}])
def test_loss_and_gradients_equal_plain_torch(
    align_to: str, companions: dict[str, float], method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of(
        "self_training",
        model={"batch_norm": "frozen", "bottleneck_dim": 6},
        align_to=align_to,
        threshold=1.0,
        class_balance=0.6,
        shares_decay=0.8,
        self_training_weight=1.3,
        grl_strength=0.6,
        hidden_dim=16,
        **companions,
    ).double()
    network, batch = method.network, batch_of(0)
    darker = torch.arange(1, 9, dtype=torch.uint8).view(8, 1, 1, 1)
    batch = batch._replace(target_images=batch.target_images // darker)  # not all equally sure
    with torch.no_grad():
        network.head.weight.mul_(20)
    assert batch.target_strong_images is not None
    taught_by = copy.deepcopy(network).eval()  # at the first step the teacher is the student
    with torch.no_grad():
        mid_p = torch.softmax(taught_by(batch.mid_images), 1)
        p = torch.softmax(taught_by(batch.target_images), 1)
    equal = torch.full((5,), 0.2, dtype=torch.float64)
    mid, target = 0.8 * equal + 0.2 * mid_p.mean(0), 0.8 * equal + 0.2 * p.mean(0)
    prior = 0.8 * equal + 0.2 * hand_made(equal, p, mid)
    wanted = {"estimated": prior, "mid": mid, "none": target}[align_to]
    labels = torch.stack([row * wanted / target for row in p])
    labels = labels / labels.sum(1, keepdim=True)
    sure = mid_p.max(1).values.mean()
    kept = [float(row.max() >= sure) for row in labels]
    assert 0 < sum(kept) < 8, "else the threshold is not tested"
    per_class = (mid / prior) ** 0.6
    per_class = per_class / (prior * per_class).sum()

    output = method(batch, torch.tensor(PROGRESS, dtype=torch.float64))
    output.loss.backward()
    torch.testing.assert_close(output.scalars["confidence_threshold"], sure)
    torch.testing.assert_close(output.scalars["kept_share"].item(), sum(kept) / 8)

    views = [batch.target_images] if companions else []
    mid_features, rest = network.pair_features(
        batch.mid_images, torch.cat([*views, batch.target_strong_images])
    )
    log_p = torch.log_softmax(network.head(mid_features), 1)
    smoothed = torch.full_like(log_p, 0.1 / 5)
    smoothed[torch.arange(8), batch.mid_labels] += 0.9
    task = -(smoothed * log_p).sum(1).mean()
    strong = torch.log_softmax(network.head(rest[-8:]), 1)
    entropies = [
        keep * (q @ per_class) * -(q * row).sum()
        for keep, q, row in zip(kept, labels, strong, strict=True)
    ]
    weight = 1.3 * (0.5 - 0.5 * math.cos(2 * math.pi * PROGRESS))
    task = task + weight * torch.stack(entropies).mean()
    adversarial = torch.zeros((), dtype=torch.float64)
    if companions:
        task = task + 0.7 * class_confusion(network.head(rest[:8]), 2.5)
        for features, is_target in ((mid_features, False), (rest[:8], True)):
            q = torch.softmax(network.head(features), 1).detach()
            joint = torch.stack(
                [torch.outer(a, f).flatten() for a, f in zip(q, features, strict=True)]
            )
            d = torch.sigmoid(method.companions.discriminator(joint))
            adversarial = adversarial - 0.5 * torch.log(d if is_target else 1 - d).mean()
    lambda2 = 0.6 * (2 / (1 + math.exp(-10 * PROGRESS)) - 1)
    torch.testing.assert_close(output.loss, task + 1.5 * adversarial)
    learning = {key: p for key, p in method.named_parameters() if p.requires_grad}
    assert not [key for key in learning if key.startswith("teacher")]

    def gradients(loss: Tensor) -> list[Tensor]:
        found = torch.autograd.grad(
            loss, list(learning.values()), retain_graph=True, materialize_grads=True
        )
        return list(found)

    of_task = gradients(task)
    of_domain = gradients(adversarial) if companions else [torch.zeros(())] * len(learning)
    for (key, parameter), ours, domain in zip(learning.items(), of_task, of_domain, strict=True):
        expected = ours + 1.5 * (1.0 if "discriminator" in key else -lambda2) * domain
        torch.testing.assert_close(parameter.grad, expected, atol=1e-10, rtol=1e-8, msg=key)


def test_it_is_alive_once_the_ramp_has_begun(method_of: MethodOf, batch_of: BatchOf) -> None:
    """Labels are kept, and the strong view alone moves every parameter of the backbone."""
    model = {"batch_norm": "frozen", "bottleneck_dim": 6}
    settings = {"threshold": 0.5}
    batch = batch_of(0)
    gradients = {}
    for progress in (0.0, 0.5):
        method = method_of("self_training", model=model, **settings)
        output = method(batch, torch.tensor(progress))
        assert output.scalars["kept_share"] > 0.5
        output.loss.backward()
        gradients[progress] = {
            key: p.grad.clone()
            for key, p in method.network.named_parameters()
            if p.grad is not None
        }
    for key, before in gradients[0.0].items():
        assert not torch.equal(before, gradients[0.5][key]), key


def test_before_the_ramp_it_is_source_only(method_of: MethodOf, batch_of: BatchOf) -> None:
    model = {"batch_norm": "frozen"}
    ours, plain = method_of("self_training", model=model), method_of("source_only", model=model)
    for method in (ours, plain):
        method(batch_of(0), torch.tensor(0.0)).loss.backward()
    expected = dict(plain.network.named_parameters())
    for key, parameter in ours.network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key].grad, msg=key)


def test_the_ramp_ends_in_the_middle() -> None:
    found = ramp(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([0, 0.5, 1, 1, 1], dtype=torch.float64))


def test_a_batch_without_a_strong_view_is_refused(method_of: MethodOf, batch_of: BatchOf) -> None:
    with pytest.raises(ValueError, match="target_strong_images"):
        method_of("self_training")(batch_of(0)._replace(target_strong_images=None), torch.tensor(0))


def test_running_shares_end_where_the_whole_target_s_estimate_is() -> None:
    """Batch by batch, the same maximum as of all images at once; counting would be wrong."""
    random = np.random.default_rng(0)
    truth = np.array([0.1, 0.2, 0.7])
    x = random.permutation(
        random.normal(np.repeat([-1.0, 0.0, 1.0], (truth * 8000).astype(int)), 0.7)
    )
    of_mid = random.permutation(random.normal(np.repeat([-1.0, 0.0, 1.0], 2000), 0.7))

    def posteriors(values: np.ndarray) -> Tensor:
        density = np.exp(-((values[:, None] - [-1.0, 0.0, 1.0]) ** 2) / (2 * 0.7**2))
        return torch.from_numpy(density / density.sum(1, keepdims=True))

    target, mid = posteriors(x), posteriors(of_mid)
    shares = ClassShares(3, decay=0.99).double()
    for _ in range(2000):
        rows = torch.from_numpy(random.integers(0, 8000, 32))
        shares.follow(mid[rows % 6000], target[rows])
    expected = estimate_prior(target.numpy(), [1, 1, 1])
    np.testing.assert_allclose(expected, truth, atol=0.03)
    np.testing.assert_allclose(shares.prior.numpy(), expected, atol=0.05)
    np.testing.assert_allclose(shares.mid.numpy(), [1 / 3] * 3, atol=0.02)
    assert np.abs(target.mean(0).numpy() - truth).max() > 0.15


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_weights_have_mean_one_over_the_target(power: float) -> None:
    shares = ClassShares(3, decay=0.9).double()
    shares.prior.copy_(torch.tensor([0.6, 0.3, 0.1]))
    shares.mid.copy_(torch.tensor([0.2, 0.3, 0.5]))
    weights = shares.balance(power)
    assert float(shares.prior @ weights) == pytest.approx(1)
    expected = {0.0: [1, 1, 1], 1.0: [1 / 3, 1, 5]}.get(power)
    if expected:
        torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_it_learns_a_sign_that_only_the_target_has(
    share: float, learn_quadrants: Callable[..., float]
) -> None:
    """Also where the target's class shares are not mid's."""
    assert learn_quadrants("source_only", share) < 0.8
    assert learn_quadrants("self_training", share) > 0.95
