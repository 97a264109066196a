"""Small networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plankton_da.config import ModelConfig
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.classifier import PlanktonNetwork, build_network

PREPROCESS = Preprocess(
    image_size=32, instruments={"MID": InstrumentLook(), "TARGET": InstrumentLook(invert=True)}
)


@pytest.fixture
def network_of() -> Callable[..., PlanktonNetwork]:
    """``network_of(backbone=..., batch_norm=..., ...)``: random weights, five classes, 32 px."""

    def build(**settings: Any) -> PlanktonNetwork:
        config = ModelConfig(
            **{"backbone": "test_resnet", "pretrained": "none", "bottleneck_dim": 8, **settings}
        )
        return build_network(
            config, 5, preprocess=PREPROCESS, domains={"MID": "mid", "TARGET": "target"}
        )

    return build
