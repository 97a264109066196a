"""A backbone cut behind its frozen stages, so that what they give can be computed once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

_TOLERANCE = 1e-4


class _Reached(Exception):  # noqa: N818  # no error: the frozen part ends here
    """Carries what the first learning module is given."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


class Division:
    """The frozen front of a backbone and the rest of it; both share its layers.

    Parameters
    ----------
    backbone
        Normalised images (N, 3, H, W) to pooled features (N, num_features).
    network
        The timm network within ``backbone``.
    boundary
        The first module that learns; None: nothing does.
    rest
        ``network`` without what comes before ``boundary``.
    """

    def __init__(
        self, backbone: nn.Module, boundary: nn.Module | None, rest: nn.Module | None
    ) -> None:
        self._backbone = backbone
        self._boundary = boundary
        self.rest = rest

    @torch.no_grad()
    def front(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) to what the frozen stages give, (N, ...)."""
        if self._boundary is None:
            return cast(Tensor, self._backbone(images))
        with _stop_at(self._boundary):
            try:
                self._backbone(images)
            except _Reached as reached:
                return reached.features
        raise RuntimeError("the backbone does not pass its first learning module")


def divide(backbone: nn.Module, network: nn.Module, images: Tensor) -> Division | None:
    """Cut ``network`` before its first learning module; None if it does not come apart there.

    It comes apart where everything before the cut is passed in a line. That is not read off the
    code but tried: on ``images`` (N, 3, H, W), normalised, the two parts must give what the whole
    does.
    """
    learns = {parameter.requires_grad for parameter in network.parameters()}
    if learns == {True}:
        return None  # nothing is frozen
    if learns == {False}:
        return Division(backbone, None, None)
    with _evaluating(backbone):
        return _divide(backbone, network, images)


def _divide(backbone: nn.Module, network: nn.Module, images: Tensor) -> Division | None:
    called = _calls(backbone, network, images)
    learning = [
        name
        for name in called
        if (own := list(network.get_submodule(name).parameters()))
        and all(parameter.requires_grad for parameter in own)
    ]
    if not learning:
        return None
    boundary = learning[0]
    before = called[: called.index(boundary)]
    rest = _without(network, boundary, before)
    if rest is None:
        return None
    division = Division(backbone, network.get_submodule(boundary), rest)
    return division if _fits(division, backbone, images) else None


def _calls(backbone: nn.Module, network: nn.Module, images: Tensor) -> list[str]:
    """Names of the network's modules in the order in which they are entered."""
    order: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda _, __, name=name: order.append(name))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            backbone(images)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(order))


def _without(network: nn.Module, boundary: str, before: list[str]) -> nn.Module | None:
    """A shallow copy with everything in ``before`` passed over, but what holds the boundary."""
    holders = {".".join(boundary.split(".")[:depth]) for depth in range(1, boundary.count(".") + 1)}
    rest = _shallow(network)
    copies: dict[str, nn.Module] = {"": rest}
    for holder in sorted(holders, key=lambda name: name.count(".")):
        parent, _, child = holder.rpartition(".")
        copies[holder] = _shallow(network.get_submodule(holder))
        copies[parent]._modules[child] = copies[holder]
    for name in before:
        parent, _, child = name.rpartition(".")
        if name not in holders and parent in copies:
            copies[parent]._modules[child] = nn.Identity()
    return rest


def _shallow(module: nn.Module) -> nn.Module:
    shallow = copy.copy(module)
    shallow._modules = dict(module._modules)
    return shallow


def _fits(division: Division, backbone: nn.Module, images: Tensor) -> bool:
    try:
        with torch.no_grad():
            whole = backbone(images)
            parts = cast(Any, backbone).pooled(division.rest, division.front(images))
    except (RuntimeError, TypeError, AttributeError, ValueError, IndexError):
        return False
    return whole.shape == parts.shape and bool(
        torch.allclose(whole, parts, rtol=_TOLERANCE, atol=_TOLERANCE)
    )


@contextmanager
def _evaluating(backbone: nn.Module) -> Iterator[None]:
    """Trying the parts moves no running statistics."""
    training = {module: module.training for module in backbone.modules()}
    backbone.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


@contextmanager
def _stop_at(boundary: nn.Module) -> Iterator[None]:
    def stop(_: nn.Module, given: tuple[Any, ...]) -> None:
        raise _Reached(given[0])

    handle = boundary.register_forward_pre_hook(stop)
    try:
        yield
    finally:
        handle.remove()
