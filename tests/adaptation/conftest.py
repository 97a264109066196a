"""Batches and methods small enough to recompute by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from plankton_da.adaptation.methods import METHODS, Method
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import ModelConfig, method_configs
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.classifier import build_network

SIZE = 32
CLASSES = 5
PREPROCESS = Preprocess(
    image_size=SIZE, instruments={"MID": InstrumentLook(), "TARGET": InstrumentLook(invert=True)}
)


@pytest.fixture
def method_of() -> Callable[..., Method]:
    """``method_of(name, model={...}, **settings)``: a method over a random ``test_resnet``."""

    def build(name: str, model: dict[str, Any] | None = None, **settings: Any) -> Method:
        defaults = {"backbone": "test_resnet", "pretrained": "none", "bottleneck_dim": 0}
        torch.manual_seed(0)
        network = build_network(
            ModelConfig(**{**defaults, **(model or {})}),
            CLASSES,
            preprocess=PREPROCESS,
            domains={"MID": "mid", "TARGET": "target"},
        )
        with torch.no_grad():
            for parameter in network.parameters():
                if not parameter.any():  # timm starts the last BatchNorm of a block at 0
                    parameter.add_(0.5)
        method = METHODS[name](network, method_configs()[name](**settings), label_smoothing=0.1)
        return method.train()

    return build


@pytest.fixture
def batch_of() -> Callable[[int], UdaBatch]:
    """``batch_of(seed)``: eight images of each instrument, the target's brighter."""

    def build(seed: int) -> UdaBatch:
        generator = torch.Generator().manual_seed(seed)
        return UdaBatch(
            torch.randint(0, 200, (8, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator),
            torch.randint(0, CLASSES, (8,), generator=generator),
            torch.randint(100, 256, (8, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator),
            target_strong_images=torch.randint(
                0, 256, (8, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator
            ),
        )

    return build
