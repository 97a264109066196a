"""The optimizer and its schedule."""

from __future__ import annotations

import torch
from torch import nn

from plankton_da.adaptation.methods.base import Method
from plankton_da.config import AdamWConfig, SGDConfig
from plankton_da.networks.backbone import Backbone


def create_optimizer(method: Method, config: SGDConfig | AdamWConfig) -> torch.optim.Optimizer:
    """One optimizer for everything that learns; the backbone at its own rate, or its stages.

    With ``layer_decay`` d, stage s of the backbone's n (the stem is 0) learns at
    ``lr * backbone_lr_multiplier * d^(n - 1 - s)``.

    Source: Clark et al., "ELECTRA", ICLR 2020 (layer-wise learning rates).

    Raises
    ------
    ModelError
        The backbone does not say what its stages are.
    """
    parts = _backbone_parts(method.network.backbone, config.layer_decay)
    of_backbone = {id(p) for part, _ in parts for p in part}
    full_lr = config.lr * config.backbone_lr_multiplier
    rated = [(part, full_lr * factor) for part, factor in parts]
    rated.append(([p for p in method.parameters() if id(p) not in of_backbone], config.lr))
    groups = [
        {"params": learning, "full_lr": rate}
        for part, rate in rated
        if (learning := [p for p in part if p.requires_grad])
    ]
    optimizer: torch.optim.Optimizer
    if isinstance(config, SGDConfig):
        optimizer = torch.optim.SGD(
            groups,
            lr=config.lr,
            momentum=config.momentum,
            nesterov=True,
            weight_decay=config.weight_decay,
        )
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    set_learning_rate(optimizer, 0.0)
    return optimizer


def _backbone_parts(
    backbone: Backbone, layer_decay: float
) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters that learn at the same rate, and the factor to the backbone's."""
    if layer_decay == 1:
        return [(list(backbone.parameters()), 1.0)]
    parameters, stages = dict(backbone.network.named_parameters()), backbone.stages()
    return [
        ([parameters[name] for name in names], layer_decay ** (len(stages) - 1 - stage))
        for stage, names in enumerate(stages)
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, progress: float) -> None:
    """full_lr * (1 + 10p)^-0.75 (Ganin et al., JMLR 2016, section 5.2.2)."""
    decay = (1 + 10 * progress) ** -0.75
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * decay
