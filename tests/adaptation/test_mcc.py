"""Minimum class confusion, against the paper's equations written out image by image."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.methods.mcc import class_confusion
from plankton_da.adaptation.pairs import UdaBatch

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]


def by_hand(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Equations 1 to 6 with loops; weights are constants."""
    count, classes = logits.shape
    p = [(logit / temperature).exp() / (logit / temperature).exp().sum() for logit in logits]
    entropies = [-sum(float(q) * math.log(float(q)) for q in row.detach()) for row in p]
    raw = [1 + math.exp(-entropy) for entropy in entropies]
    weights = [count * weight / sum(raw) for weight in raw]
    confusion = [
        [sum(weights[i] * p[i][a] * p[i][b] for i in range(count)) for b in range(classes)]
        for a in range(classes)
    ]
    off_diagonal = torch.zeros((), dtype=logits.dtype)
    for a in range(classes):
        total = sum(confusion[a])
        off_diagonal = off_diagonal + sum(confusion[a][b] / total for b in range(classes) if b != a)
    return off_diagonal / classes


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_loss_and_gradient_equal_the_equations(temperature: float) -> None:
    torch.manual_seed(0)
    ours = (3 * torch.randn(6, 4, dtype=torch.float64)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss, expected = class_confusion(ours, temperature), by_hand(theirs, temperature)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_certain_predictions_are_not_confused_and_equal_ones_are() -> None:
    certain = 100 * torch.eye(4)[torch.tensor([0, 1, 2, 3, 0])]
    assert class_confusion(certain, 1.0) == pytest.approx(0, abs=1e-6)
    assert class_confusion(torch.zeros(5, 4), 1.0) == pytest.approx(3 / 4)


def test_the_step_adds_the_weighted_confusion_of_the_target(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("mcc", model={"batch_norm": "frozen"}, mcc_weight=0.7, temperature=2.0)
    batch = batch_of(0)
    output = method(batch, torch.tensor(0.5))
    plain = method_of("source_only", model={"batch_norm": "frozen"})(batch, torch.tensor(0.5))
    confusion = class_confusion(method.network(batch.target_images), 2.0)
    torch.testing.assert_close(output.loss, plain.loss + 0.7 * confusion)


def test_weight_zero_is_source_only(method_of: MethodOf, batch_of: BatchOf) -> None:
    model = {"batch_norm": "frozen"}
    mcc, plain = (
        method_of("mcc", model=model, mcc_weight=0.0),
        method_of("source_only", model=model),
    )
    for method in (mcc, plain):
        method(batch_of(0), torch.tensor(0.5)).loss.backward()
    expected = dict(plain.named_parameters())
    for key, parameter in mcc.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key].grad, msg=key)


def test_it_finds_the_class_boundary_between_two_moved_clusters() -> None:
    """Two classes on one axis; the target's are moved, so that mid's boundary cuts one of them."""
    torch.manual_seed(0)
    labels = torch.arange(200) % 2
    mid = torch.randn(200) * 0.2 + torch.where(labels == 1, 1.0, -1.0)
    target = torch.randn(200) * 0.2 + torch.where(labels == 1, 1.9, -0.1)

    def accuracy(weight: float) -> float:
        layer = torch.nn.Linear(1, 2)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
        for _ in range(500):
            loss = torch.nn.functional.cross_entropy(layer(mid[:, None]), labels)
            loss = loss + weight * class_confusion(layer(target[:, None]), 1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float((layer(target[:, None]).argmax(1) == labels).float().mean())

    assert accuracy(0.0) < 0.9
    assert accuracy(1.0) > 0.98
