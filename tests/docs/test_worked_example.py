"""The method that docs/adaptation.md adds as an example works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from plankton_da import config_methods as config_module
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import ModelConfig
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.backbone import Weights
from plankton_da.networks.classifier import build_network

PAGE = Path(__file__).parent.parent.parent / "docs" / "adaptation.md"


@pytest.fixture
def coral(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's method, with the example's config, on a tiny network."""
    config_code, method_code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    room = dict(vars(config_module))
    exec(compile(config_code, "config_methods.py", "exec"), room)
    monkeypatch.setattr(config_module, "CoralConfig", room["CoralConfig"], raising=False)
    names: dict[str, Any] = {"__name__": "coral"}
    exec(compile(method_code, "coral.py", "exec"), names)
    network = build_network(
        ModelConfig(backbone="test_resnet", pretrained="none", bottleneck_dim=8),
        3,
        preprocess=Preprocess(image_size=32, instruments={"A": InstrumentLook()}),
        domains={"A": "mid", "B": "target"},
        batch_norm="frozen",
        weights=Weights("none"),
    )
    return names["Coral"](network, room["CoralConfig"](), 0.1)


def batch(same: bool) -> UdaBatch:
    """Four images a camera; ``same``: the very same ones."""
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 1, 32, 32), generator=noise, dtype=torch.uint8)
    target = images[:4] if same else images[4:]
    return UdaBatch(images[:4], torch.tensor([0, 1, 2, 0]), target)


def test_equal_batches_have_no_covariance_loss(coral: Any) -> None:
    coral.eval()
    output = coral(batch(same=True), torch.tensor(0.5))
    assert output.scalars["coral_loss"] == pytest.approx(0, abs=1e-9)
    assert output.loss.item() == pytest.approx(output.scalars["classification_loss"].item())


def test_the_covariance_loss_of_other_batches_reaches_the_backbone(coral: Any) -> None:
    coral.train()
    weight = next(coral.network.backbone.parameters())
    gradients = []
    for coral.weight in (0.0, 1.0):
        output = coral(batch(same=False), torch.tensor(0.5))
        assert output.scalars["coral_loss"] > 0
        gradients.append(torch.autograd.grad(output.loss, weight)[0])
    assert not torch.allclose(*gradients)
