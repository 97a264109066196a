"""The optimizer and its schedule."""

from __future__ import annotations

import torch

from plankton_da.adaptation.methods.base import Method
from plankton_da.config import AdamWConfig, SGDConfig


def create_optimizer(method: Method, config: SGDConfig | AdamWConfig) -> torch.optim.Optimizer:
    """One optimizer for everything that learns; the backbone at its own rate."""
    backbone = {id(p) for p in method.network.backbone.parameters()}
    learning = [p for p in method.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in learning if id(p) in backbone],
            "full_lr": config.lr * config.backbone_lr_multiplier,
        },
        {"params": [p for p in learning if id(p) not in backbone], "full_lr": config.lr},
    ]
    groups = [group for group in groups if group["params"]]
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


def set_learning_rate(optimizer: torch.optim.Optimizer, progress: float) -> None:
    """full_lr * (1 + 10p)^-0.75 (Ganin et al., JMLR 2016, section 5.2.2)."""
    decay = (1 + 10 * progress) ** -0.75
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * decay
