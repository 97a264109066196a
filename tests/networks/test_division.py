"""Frozen stages computed apart give what the whole network gives."""

from __future__ import annotations

import pytest
import torch

from plankton_da.config import ModelConfig
from plankton_da.errors import ModelError
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.classifier import PlanktonNetwork, build_network

PREPROCESS = Preprocess(
    image_size=32, instruments={"MID": InstrumentLook(), "TARGET": InstrumentLook()}
)


def network_of(backbone: str, freeze: str | int, batch_norm: str = "frozen") -> PlanktonNetwork:
    network = build_network(
        ModelConfig(
            backbone=backbone,
            pretrained="none",
            bottleneck_dim=8,
            freeze=freeze,  # type: ignore[arg-type]
            batch_norm=batch_norm,  # type: ignore[arg-type]
        ),
        3,
        preprocess=PREPROCESS,
        domains={"MID": "mid", "TARGET": "target"},
    )
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():  # timm starts the last BatchNorm of a block at 0
                parameter.add_(0.5)
    return network.train()


def images(seed: int, number: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (number, 1, 32, 32), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("batch_norm", ["frozen", "per_domain"])
@pytest.mark.parametrize(
    ("backbone", "freeze"),
    [
        ("test_resnet", 1),
        ("test_resnet", 3),
        ("test_efficientnet", 2),
        ("test_efficientnet", "all"),
        ("test_convnext", 2),
        ("test_vit", "all"),
    ],
)
def test_loss_and_gradients_are_those_of_the_whole(
    backbone: str, freeze: str | int, batch_norm: str
) -> None:
    whole, parts = (network_of(backbone, freeze, batch_norm) for _ in range(2))
    assert parts.divide(images(1))
    features = parts.frozen_features(images(0))
    for domain in ("mid", "target"):
        for network, given in ((whole, images(0)), (parts, features)):
            network.use_domain(domain)
            network.zero_grad()
            torch.nn.functional.cross_entropy(
                network(given), torch.tensor([0, 1, 2, 0, 1, 2])
            ).backward()
        gradients = {
            name: parameter.grad
            for name, parameter in whole.named_parameters()
            if parameter.requires_grad
        }
        assert gradients
        for name, parameter in parts.named_parameters():
            if name in gradients:
                torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5)
            else:
                assert parameter.grad is None
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor)


def test_a_divided_network_keeps_its_state_dict_and_follows_its_weights() -> None:
    network = network_of("test_resnet", 2)
    keys = list(network.state_dict())
    assert network.divide(images(1))
    assert list(network.state_dict()) == keys
    features = network.frozen_features(images(0))
    network.eval()
    with torch.no_grad():
        before = network(features)
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
        after = network(features)
        torch.testing.assert_close(after, network(images(0)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, after)


def test_what_does_not_come_apart_is_said_not_guessed() -> None:
    network = network_of("test_vit", 2)  # positions are added between the stem and the blocks
    assert not network.divide(images(1))
    with pytest.raises(ModelError, match="not divided"):
        network.frozen_features(images(0))
    with pytest.raises(ModelError, match="divided"):
        network(torch.zeros(2, 4))


def test_a_network_that_learns_from_its_first_layer_has_nothing_to_reuse() -> None:
    network = network_of("test_resnet", "none")
    assert not network.divide(images(1))
