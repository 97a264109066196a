"""A torch module of the caller's as backbone: exact steps, whole runs, and what a bundle says."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from plankton_da.adaptation.methods import METHODS
from plankton_da.adaptation.optimizers import create_optimizer
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.training import train
from plankton_da.config import Config, ModelConfig, SGDConfig, method_configs
from plankton_da.config_reading import parse_config
from plankton_da.demo.archive import write_archive
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.errors import BundleError, ConfigError, ModelError
from plankton_da.images.preprocess import Preprocess
from plankton_da.manifests.ingest import build_manifest
from plankton_da.networks.bundle import read_bundle
from plankton_da.networks.classifier import build_network
from plankton_da.prediction.predictor import Predictor

NAME = "two_convolutions"


class TwoConvolutions(nn.Module):
    """As somebody would write it, with a view instead of a flatten."""

    num_features = 32

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 4, 5)
        self.second = nn.Conv2d(4, 2, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = F.max_pool2d(F.relu(self.first(images)), 4)
        maps = F.relu(self.second(maps))  # (N, 2, 4, 4) of 36 pixels
        return maps.view(maps.shape[0], -1)


class Branching(TwoConvolutions):
    """Looks at its values to decide what to do, which no exporter can follow."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = super().forward(images)
        return features if bool((features > 1e6).any()) else 2 * features


class Counting(TwoConvolutions):
    """Asks for a plain number of images, which the exporter takes for one that never changes."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).view(len(images), -1)


def config_of(manifests: tuple[Path, Path], out: Path, **changes: Any) -> Config:
    raw: dict[str, Any] = {
        "output_dir": str(out),
        "data": {
            "mid": str(manifests[0]),
            "target": str(manifests[1]),
            "image_size": 36,
            "batch_size_per_instrument": 8,
            "workers": 0,
            "cache": "none",
        },
        "model": {"backbone": NAME, "bottleneck_dim": 8},
        "method": {"name": "dann"},
        "training": {"steps": 2, "evaluate_every": 2, "yardstick": False},
        "tracking": {"backend": "none"},
    }
    for section, values in changes.items():
        raw[section] = {**raw[section], **values}
    return parse_config(raw)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("archive")
    archive = write_archive(
        folder / "a", seed=0, mid_per_class=8, target_images=0, target_test_images=16
    )
    build_manifest("folders", [archive.mid], MID_INSTRUMENT, folder / "mid.csv")
    build_manifest("folders", [archive.target_test], TARGET_INSTRUMENT, folder / "target.csv")
    return folder / "mid.csv", folder / "target.csv"


@pytest.fixture(scope="module")
def bundle(manifests: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = config_of(manifests, tmp_path_factory.mktemp("own") / "run")
    return Path(train(config, backbone=TwoConvolutions()).bundle)


def test_a_dann_step_over_a_plain_module_equals_plain_torch() -> None:
    backbone, progress, lambda2 = TwoConvolutions(), 0.3, 2 / (1 + math.exp(-3.0)) - 1
    network = build_network(
        ModelConfig(backbone=NAME, bottleneck_dim=0),
        5,
        preprocess=Preprocess(image_size=36),
        domains={"MID": "mid", "TARGET": "target"},
        backbone=backbone,
    )
    method = METHODS["dann"](network, method_configs()["dann"](hidden_dim=16), 0.1).double().train()
    draw = torch.Generator().manual_seed(0)
    mid, target = torch.randint(0, 256, (2, 8, 3, 36, 36), generator=draw, dtype=torch.uint8)
    labels = torch.randint(0, 5, (8,), generator=draw)

    # Plain torch: the module itself, a linear layer, the discriminator; dCE and dADV apart.
    plain, head = copy.deepcopy(backbone).double(), copy.deepcopy(network.head)
    discriminator = copy.deepcopy(method.discriminator)
    f_mid, f_target = (plain(images.double() / 127.5 - 1) for images in (mid, target))
    ce = F.cross_entropy(head(f_mid), labels, label_smoothing=0.1)
    d_mid, d_target = discriminator(f_mid), discriminator(f_target)
    adversarial = 0.5 * (F.softplus(d_mid).mean() + F.softplus(-d_target).mean())
    own = list(plain.parameters())
    dce = torch.autograd.grad(ce, own, retain_graph=True)
    dadv = torch.autograd.grad(adversarial, own)
    with torch.no_grad():
        for parameter, of_ce, of_adversarial in zip(own, dce, dadv, strict=True):
            grad = of_ce - lambda2 * of_adversarial + 1e-3 * parameter
            parameter -= 0.05 * 1.9 * grad  # first Nesterov step, momentum 0.9

    optimizer = create_optimizer(method, SGDConfig(lr=0.05, backbone_lr_multiplier=1))
    batch = UdaBatch(mid, labels, target)
    method(batch, torch.tensor(progress, dtype=torch.float64)).loss.backward()
    optimizer.step()
    updated = network.backbone.network.state_dict()
    for name, expected in plain.state_dict().items():
        assert not torch.equal(expected, backbone.state_dict()[name].double()), name
        torch.testing.assert_close(updated[name], expected, atol=1e-12, rtol=1e-10, msg=name)


def test_the_caller_s_module_is_left_as_it_was(manifests: tuple[Path, Path], bundle: Path) -> None:
    given, before = TwoConvolutions(), TwoConvolutions().state_dict()
    trained = read_bundle(bundle, backbone=given).network.backbone.network.state_dict()
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert not torch.equal(tensor, trained[name]), name


def test_its_bundle_serves_the_target_without_the_module(bundle: Path) -> None:
    assert read_bundle(bundle, backbone=TwoConvolutions(1)).info.backbone == NAME
    pixels = np.random.default_rng(0).integers(0, 256, (3, 36, 36, 1), dtype=np.uint8)
    alone = Predictor.open(bundle, engine="onnx").probabilities(pixels, TARGET_INSTRUMENT)
    whole = read_bundle(bundle, backbone=TwoConvolutions(1))
    whole.network.use_domain("target")
    with torch.no_grad():
        logits = whole.network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    expected = torch.softmax(logits / whole.info.temperature, dim=1)
    np.testing.assert_allclose(alone, expected.numpy(), atol=1e-5)


def test_without_the_module_torch_says_what_it_needs(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"two_convolutions .*holds no code.*backbone=module"):
        read_bundle(bundle)
    pixels = np.zeros((1, 36, 36, 1), dtype=np.uint8)
    with pytest.raises(BundleError, match="backbone=module"):
        Predictor.open(bundle).probabilities(pixels, MID_INSTRUMENT)


def test_another_module_does_not_fit_the_bundle(bundle: Path, tiny_bundle: Path) -> None:
    wider = TwoConvolutions()
    wider.second, wider.num_features = nn.Conv2d(4, 3, 5), 48
    with pytest.raises(BundleError, match="do not fit backbone two_convolutions"):
        read_bundle(bundle, backbone=wider)
    with pytest.raises(BundleError, match="test_resnet is timm's; read it without a module"):
        read_bundle(tiny_bundle, backbone=TwoConvolutions())


def test_a_run_can_start_from_such_a_bundle(
    manifests: tuple[Path, Path], bundle: Path, tmp_path: Path
) -> None:
    config = config_of(
        manifests,
        tmp_path / "run",
        model={"from_bundle": str(bundle), "freeze": "all"},
        method={"name": "source_only"},
    )
    again = train(config, backbone=TwoConvolutions(5))
    found = read_bundle(Path(again.bundle), backbone=TwoConvolutions(6)).network
    theirs = read_bundle(bundle, backbone=TwoConvolutions(7)).network
    for name, tensor in found.backbone.state_dict().items():
        assert torch.equal(tensor, theirs.backbone.state_dict()[name]), name
    assert not torch.equal(found.head.weight, theirs.head.weight)


@pytest.mark.parametrize("backbone", [Branching(), Counting()], ids=["branching", "counting"])
def test_a_module_that_cannot_be_exported_costs_model_onnx_alone(
    manifests: tuple[Path, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    backbone: nn.Module,
) -> None:
    config = config_of(manifests, tmp_path / "run", method={"name": "source_only"})
    folder = Path(train(config, backbone=backbone).bundle)
    assert not (folder / "model.onnx").exists()
    assert "model.onnx cannot be made" in caplog.text
    predictor = Predictor(read_bundle(folder, backbone=backbone))
    pixels = np.zeros((3, 36, 36, 1), dtype=np.uint8)
    assert predictor.engine == "torch"
    assert predictor.probabilities(pixels, TARGET_INSTRUMENT).sum() == pytest.approx(3)


def test_a_run_is_resumed_with_the_same_weights_alone(
    manifests: tuple[Path, Path], tmp_path: Path
) -> None:
    config = config_of(manifests, tmp_path / "run", method={"name": "source_only"})
    train(config, backbone=TwoConvolutions())
    (tmp_path / "run" / "result.json").unlink()  # as if it had been killed before
    with pytest.raises(ConfigError, match="backbone module has other weights"):
        train(config, backbone=TwoConvolutions(1), resume=True)
    train(config, backbone=TwoConvolutions(), resume=True)


class Silent(nn.Module):
    """Does not say its width."""


class Maps(nn.Conv2d):
    """Gives maps in place of features."""

    num_features = 4


@pytest.mark.parametrize(
    ("backbone", "model", "words"),
    [
        (NAME, {}, "must be a torch.nn.Module; found str"),
        (Silent(), {}, "num_features; found None"),
        (Maps(3, 4, 3), {}, r"must give features \(N, num_features\), here \(2, 4\); found \(2, 4"),
        (Maps(1, 4, 3), {}, r"cannot take images \(2, 3, 36, 36\)"),
        (TwoConvolutions(), {"backbone": "resnet18"}, "resnet18 is a network of timm's"),
        (TwoConvolutions(), {"freeze": 1}, "no stages are known; use none or all"),
        (TwoConvolutions(), {"pretrained": "weights.pth"}, "load the file into the module"),
    ],
)
def test_what_cannot_be_is_said(
    manifests: tuple[Path, Path], tmp_path: Path, backbone: Any, model: dict[str, Any], words: str
) -> None:
    config = config_of(manifests, tmp_path / "run", model=model)
    with pytest.raises((ModelError, ConfigError), match=words):
        train(config, backbone=backbone)
    assert not (tmp_path / "run").exists()
