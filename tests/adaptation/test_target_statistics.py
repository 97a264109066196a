"""What a run of source_only says of itself with the target's BatchNorm statistics."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from plankton_da.adaptation.preparation import prepare
from plankton_da.adaptation.start import build_method, find_start
from plankton_da.adaptation.target_statistics import with_target_statistics
from plankton_da.adaptation.training import train
from plankton_da.config import Config
from plankton_da.config_reading import parse_config
from plankton_da.networks.batch_norm import batch_norms

KINDS = ("accuracy", "macro_recall")


def config_of(
    manifests: tuple[Path, Path], out: Path, method: str, model: dict[str, Any] | None = None
) -> Config:
    return parse_config(
        {
            "output_dir": str(out),
            "data": {
                "mid": str(manifests[0]),
                "target": str(manifests[1]),
                "image_size": 32,
                "batch_size_per_instrument": 8,
                "workers": 0,
                "cache": "none",
            },
            "model": {
                "backbone": "test_resnet",
                "pretrained": "none",
                "bottleneck_dim": 8,
                **(model or {}),
            },
            "method": {"name": method},
            "training": {"steps": 4, "evaluate_every": 4, "yardstick": False},
            "tracking": {"backend": "none"},
        }
    )


def test_they_are_what_method_adabn_gets(manifests: tuple[Path, Path], tmp_path: Path) -> None:
    plain = train(config_of(manifests, tmp_path / "plain", "source_only")).metrics
    adapted = train(config_of(manifests, tmp_path / "adapted", "adabn")).metrics
    for key in ("selection/infomax", "selection/effective_classes"):
        assert plain[f"adabn/{key}"] == pytest.approx(adapted[key], abs=1e-6)
        assert plain[key] != pytest.approx(adapted[key], abs=1e-5)
    places = [key for key in adapted if key.startswith("oracle/") and key.endswith(KINDS)]
    assert len(places) == 4  # two splits
    for key in places:
        assert plain[key.replace("oracle/", "oracle/adabn/")] == pytest.approx(adapted[key])
    assert not any("adabn" in key for key in adapted)


def test_frozen_layers_get_them_too_and_the_network_keeps_its_own(
    manifests: tuple[Path, Path], tmp_path: Path
) -> None:
    config = config_of(
        manifests, tmp_path / "run", "source_only", {"batch_norm": "frozen", "freeze": 2}
    )
    start = find_start(config, None)
    data = prepare(
        config, start.normalisation(config), tmp_path / "cache", progress=False, start=start.info
    )
    network = build_method(config, data, start).network
    before = copy.deepcopy(network.state_dict())
    adapted = with_target_statistics(network, data, seed=0, device=torch.device("cpu"))
    pairs = list(zip(batch_norms(network), batch_norms(adapted), strict=True))
    assert len(pairs) > 5
    for (name, own), (_, theirs) in pairs:
        assert own.running_mean is not None
        assert theirs.running_mean is not None
        assert not torch.allclose(own.running_mean, theirs.running_mean), name
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert any(parameter.requires_grad for parameter in network.parameters())


def test_a_backbone_without_batch_norm_has_none(
    manifests: tuple[Path, Path], tmp_path: Path
) -> None:
    model = {"backbone": "test_vit", "bottleneck_dim": 0}
    metrics = train(config_of(manifests, tmp_path / "run", "source_only", model)).metrics
    assert not any("adabn" in key for key in metrics)
