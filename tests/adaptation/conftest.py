"""Batches and methods small enough to recompute by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from plankton_da.adaptation.methods import METHODS, Method
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import ModelConfig, method_configs
from plankton_da.demo.archive import write_archive
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.manifests.ingest import build_manifest
from plankton_da.manifests.table import write_manifest
from plankton_da.networks.classifier import PlanktonNetwork, build_network

SIZE = 32
CLASSES = 5
PREPROCESS = Preprocess(
    image_size=SIZE, instruments={"MID": InstrumentLook(), "TARGET": InstrumentLook(invert=True)}
)


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """mid, and a target with labels: train and test."""
    folder = tmp_path_factory.mktemp("archive")
    archive = write_archive(
        folder / "a", seed=0, mid_per_class=14, target_images=0, target_test_images=60
    )
    mid, target = folder / "mid.csv", folder / "target.csv"
    build_manifest("folders", [archive.mid], MID_INSTRUMENT, mid)
    built = build_manifest("folders", [archive.target_test], TARGET_INSTRUMENT, target).table
    split = ["train" if row % 3 else "test" for row in range(len(built))]
    write_manifest(built.assign(split=split), target, overwrite=True)
    return mid, target


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


class Quadrants(torch.nn.Module):
    """A backbone without weights: the mean of each quarter of an image."""

    name = "quadrants"
    num_features = 4

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 4)."""
        return torch.nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)


def draw_quadrants(levels: torch.Tensor) -> torch.Tensor:
    """Grey values (N, 4) of the quarters to images (N, 1, 8, 8) uint8."""
    images = levels.round().clamp(0, 255).to(torch.uint8).view(-1, 1, 2, 2)
    return images.repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.fixture
def quadrant_method() -> Callable[..., Method]:
    """``quadrant_method(name, classes, **settings)``: a method over a linear head on quarters."""

    def build(name: str, classes: int, **settings: Any) -> Method:
        network = PlanktonNetwork(
            Quadrants(),  # type: ignore[arg-type]  # as far as networks know backbones
            classes,
            bottleneck_dim=0,
            batch_norm="frozen",
            domains={"MID": "mid", "TARGET": "target"},
            mean=(0.5,),
            std=(0.25,),
        )
        torch.nn.init.zeros_(network.head.weight)
        return METHODS[name](network, method_configs()[name](**settings), 0.1).train()

    return build


@pytest.fixture
def quadrant_images() -> Callable[[torch.Tensor], torch.Tensor]:
    """``quadrant_images(levels)``: see ``draw_quadrants``."""
    return draw_quadrants


@pytest.fixture
def learn_quadrants(quadrant_method: Callable[..., Method]) -> Callable[..., float]:
    """``learn_quadrants(method, share, **settings)``: macro recall on a target with a known answer.

    Two classes. On mid the first quarter is dark or light; on the target so is the second quarter,
    and the first tells nothing of every other image. Strongly augmented images lose the first
    quarter in half of the cases. ``share`` of the target is of class 1.
    """

    def draw(classes: torch.Tensor, quarters: torch.Tensor) -> torch.Tensor:
        noise = 15 * torch.randn(len(classes), 4)
        return draw_quadrants(127 + 60 * (2 * classes[:, None] - 1) * quarters + noise)

    def learn(name: str, share: float, **settings: Any) -> float:
        torch.manual_seed(0)
        mid_labels, labels = torch.arange(400) % 2, (torch.arange(400) < share * 400).long()
        seen_in = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])[
            torch.randperm(400) % 2
        ]
        mid = draw(mid_labels, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        target = draw(labels, seen_in)
        method = quadrant_method(name, 2, **settings)
        optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.5)
        for step in range(400):
            rows, others = torch.randint(0, 400, (2, 64))
            strong = target[others].clone()
            strong[torch.rand(64) < 0.5, :, :4, :4] = 127
            batch = UdaBatch(
                mid[rows], mid_labels[rows], target[others], target_strong_images=strong
            )
            optimizer.zero_grad()
            method(batch, torch.tensor(step / 400)).loss.backward()
            optimizer.step()
        with torch.no_grad():
            predicted = method.deployed.eval()(target).argmax(1)
        recalls = [(predicted[labels == k] == k).float().mean() for k in (0, 1)]
        return float(torch.stack(recalls).mean())

    return learn
