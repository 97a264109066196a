"""The gradients of one step, plain or where the task loss is flat around the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from plankton_da.adaptation.methods.base import StepOutput
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.ranks import apart, mean_over_ranks


def compute_gradients(
    method: nn.Module,
    batch: UdaBatch,
    progress: Tensor,
    *,
    sdat: float | None,
    autocast: AbstractContextManager[object],
) -> StepOutput:
    """Leave the gradients of a step's loss in the parameters; returns what the step gave.

    ``method`` is a method, or one wrapped so that its gradients are means over several processes.

    With ``sdat`` = rho, smooth domain adversarial training: the gradients are those at the weights
    w + rho * g / |g|, where g is the gradient of the task loss (all of the loss but its adversarial
    part) at w. The discriminator, which the task loss does not reach, stays at its own weights. Two
    passes forward and back, so twice the cost of a plain step; what a step remembers (running
    statistics, class weights) is that of the first.

    Source: Rangwani et al., "A Closer Look at Smoothness in Domain Adversarial Training", ICML
    2022, whose published code takes the adversarial gradient at the moved weights too.
    """
    if sdat is None:
        with autocast:
            output: StepOutput = method(batch, progress)
        torch.autograd.backward(output.loss)
        return output
    before = _copied_buffers(method)
    with apart(method), autocast:
        output = method(batch, progress)
    task_loss = output.loss if output.task_loss is None else output.task_loss
    with _moved_uphill(method, task_loss, sdat), _started_again(method, before):
        with autocast:
            moved: StepOutput = method(batch, progress)
        torch.autograd.backward(moved.loss)
    return output


@contextmanager
def _moved_uphill(method: nn.Module, loss: Tensor, rho: float) -> Iterator[None]:
    """For a while, weights that are ``rho`` away from their own, where ``loss`` is greater."""
    learning = [parameter for parameter in method.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, learning, allow_unused=True)
    reached = [
        (p, mean_over_ranks(g)) for p, g in zip(learning, gradients, strict=True) if g is not None
    ]
    length = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(g) for _, g in reached])
    )
    before = [parameter.detach().clone() for parameter, _ in reached]
    with torch.no_grad():
        for parameter, gradient in reached:
            parameter.add_(gradient * (rho / (length + 1e-12)))
    try:
        yield
    finally:
        with torch.no_grad():
            for (parameter, _), own in zip(reached, before, strict=True):
                parameter.copy_(own)


@contextmanager
def _started_again(method: nn.Module, before: Mapping[str, Tensor]) -> Iterator[None]:
    """For a while, buffers as they were ``before``; afterwards as they are now."""
    now = _copied_buffers(method)
    _overwrite_buffers(method, before)
    try:
        yield
    finally:
        _overwrite_buffers(method, now)


def _copied_buffers(method: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in method.named_buffers()}


@torch.no_grad()
def _overwrite_buffers(method: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, buffer in method.named_buffers():
        buffer.copy_(values[name])
