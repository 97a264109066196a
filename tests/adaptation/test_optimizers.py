"""Which parameters learn at which rate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from plankton_da.adaptation.methods import METHODS, Method
from plankton_da.adaptation.optimizers import create_optimizer, set_learning_rate
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import AdamWConfig, SGDConfig
from plankton_da.errors import ModelError
from plankton_da.networks.own_backbone import wrap_module

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]


def rates(method: Method, config: SGDConfig | AdamWConfig) -> dict[str, float]:
    """Name of a parameter -> its learning rate; each is in one group."""
    names = {id(parameter): name for name, parameter in method.named_parameters()}
    found: dict[str, float] = {}
    for group in create_optimizer(method, config).param_groups:
        for parameter in group["params"]:
            assert names[id(parameter)] not in found
            found[names[id(parameter)]] = group["lr"]
    return found


@pytest.mark.parametrize(("backbone", "stages"), [("test_vit", 7), ("test_resnet", 5)])
def test_each_stage_learns_at_a_share_of_the_next_ones_rate(
    method_of: MethodOf, backbone: str, stages: int
) -> None:
    method = method_of("dann", model={"backbone": backbone, "bottleneck_dim": 8}, hidden_dim=8)
    config = AdamWConfig(name="adamw", lr=0.01, backbone_lr_multiplier=0.5, layer_decay=0.7)
    found = rates(method, config)
    assert found.keys() == dict(method.named_parameters()).keys()
    known = method.network.backbone.stages()
    for stage, names in enumerate(known):
        for name in names:
            expected = 0.01 * 0.5 * 0.7 ** (len(known) - 1 - stage)
            assert found[f"network.backbone.network.{name}"] == pytest.approx(expected)
    others = {name: rate for name, rate in found.items() if "backbone" not in name}
    assert {name.split(".")[0] for name in others} == {"network", "discriminator"}
    assert set(others.values()) == {0.01}
    assert len(known) == stages


def test_without_decay_the_backbone_is_one_group(method_of: MethodOf) -> None:
    optimizer = create_optimizer(method_of("dann"), SGDConfig(lr=0.01, backbone_lr_multiplier=0.1))
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.001), 0.01]


def test_frozen_stages_have_no_group(method_of: MethodOf) -> None:
    model = {"backbone": "test_vit", "freeze": 2}
    whole, frozen = method_of("dann", model={**model, "freeze": "none"}), method_of("dann", model)
    config = SGDConfig(layer_decay=0.5)
    groups = [create_optimizer(method, config).param_groups for method in (whole, frozen)]
    assert len(groups[0]) - len(groups[1]) == 2
    assert [g["lr"] for g in groups[1]] == [g["lr"] for g in groups[0]][2:]


class Pooled(torch.nn.Conv2d):
    """A module of somebody's own: one convolution, its mean over the image."""

    num_features = 4

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 4)."""
        return super().forward(images).mean((2, 3))


def test_a_backbone_without_known_stages_is_refused(method_of: MethodOf) -> None:
    method = method_of("source_only")
    method.network.backbone = wrap_module(Pooled(3, 4, 3), "pooled", 32)
    create_optimizer(method, SGDConfig())
    with pytest.raises(ModelError, match=r"pooled is a module of your own.*layer_decay: 1"):
        create_optimizer(method, SGDConfig(layer_decay=0.5))


@pytest.mark.parametrize("name", METHODS)
def test_a_vit_learns_with_every_method_that_can(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    if name == "adabn":
        with pytest.raises(ModelError, match="has no BatchNorm statistics"):
            method_of(name, model={"backbone": "test_vit"})
        return
    method = method_of(name, model={"backbone": "test_vit"})
    before = {key: tensor.clone() for key, tensor in method.network.backbone.state_dict().items()}
    optimizer = create_optimizer(method, AdamWConfig(name="adamw", layer_decay=0.75))
    for step in range(2):
        set_learning_rate(optimizer, step / 2)
        optimizer.zero_grad()
        loss = method(batch_of(step), torch.tensor(0.5)).loss
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss)
    method.settle(iter([batch_of(0).target_images]))
    after = method.network.backbone.state_dict()
    moved = {key.split(".")[1] for key in before if not torch.equal(before[key], after[key])}
    assert {"patch_embed", "blocks", "norm"} <= moved
