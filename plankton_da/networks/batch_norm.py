"""BatchNorm statistics per domain, in place, for any network.

Affine weights stay shared; each domain has its own running mean and variance (AutoDIAL and DSBN
split likewise: Carlucci et al., ICCV 2017; Chang et al., CVPR 2019). The layers themselves are
kept, whatever subclass they are; only the buffers they update and read are exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Domain: TypeAlias = Literal["mid", "target"]
DOMAINS: tuple[Domain, Domain] = ("mid", "target")
BatchNorm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def batch_norms(network: nn.Module) -> list[tuple[str, BatchNorm]]:
    """Every BatchNorm layer that keeps running statistics, with its name."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, kinds) and layer.track_running_stats
    ]


class DomainStatistics(nn.Module):
    """Running statistics of every BatchNorm layer of ``network``, once per domain.

    The layers' own buffers become aliases of the chosen domain's and leave the state dict; the
    state dict holds ``mid.<layer>.mean``, ``mid.<layer>.var``, ``target.<layer>.mean``, ...
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._names = [name for name, _ in batch_norms(network)]
        self.domain: Domain = "mid"
        for domain in DOMAINS:
            for name, layer in batch_norms(network):
                for kind, values in _statistics(layer).items():
                    self.register_buffer(_key(domain, name, kind), values.clone())
        for _, layer in batch_norms(network):
            layer._non_persistent_buffers_set |= {"running_mean", "running_var"}
        self.use(network, "mid")

    def use(self, network: nn.Module, domain: Domain) -> None:
        """Let every BatchNorm layer of ``network`` read and update the statistics of ``domain``."""
        self.domain = domain
        layers = dict(network.named_modules())
        for name in self._names:
            layer = layers[name]
            layer.running_mean = self.get_buffer(_key(domain, name, "mean"))
            layer.running_var = self.get_buffer(_key(domain, name, "var"))

    def copy(self, source: Domain, destination: Domain) -> None:
        """Overwrite the statistics of ``destination`` by those of ``source``."""
        for name in self._names:
            for kind in ("mean", "var"):
                values = self.get_buffer(_key(source, name, kind))
                self.get_buffer(_key(destination, name, kind)).copy_(values)


def _statistics(layer: BatchNorm) -> dict[str, Tensor]:
    mean, var = layer.running_mean, layer.running_var
    return {} if mean is None or var is None else {"mean": mean, "var": var}


def _key(domain: Domain, name: str, kind: str) -> str:
    return f"{domain}/{name.replace('.', '/')}/{kind}"  # a dot would mean a sub-module


@contextmanager
def _accumulating(layers: list[tuple[str, BatchNorm]]) -> Iterator[None]:
    momenta = [layer.momentum for _, layer in layers]
    modes = [layer.training for _, layer in layers]
    for _, layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative average over all batches instead of a moving one
        layer.train()
    try:
        yield
    finally:
        for (_, layer), momentum, mode in zip(layers, momenta, modes, strict=True):
            layer.momentum = momentum
            layer.train(mode)


@torch.no_grad()
def estimate_statistics(
    layers: list[tuple[str, BatchNorm]],
    forward: Callable[[Tensor], object],
    batches: Iterator[Tensor],
) -> None:
    """Replace the statistics that ``layers`` have in use by those of ``batches``.

    Source: adaptive batch normalisation, Li et al., arXiv:1603.04779.
    """
    with _accumulating(layers):
        for images in batches:
            forward(images)
