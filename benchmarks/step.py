"""What a training step costs beside the plain step of the same number of images.

    python -m benchmarks.step [--backbone tf_efficientnet_lite0] [--image-size 128] [--batch 32]

In one process, in turn, so that a drifting machine slows all alike; medians. The plain step is the
timm network with a linear classifier on float images that are in memory: forward, cross entropy,
backward, SGD. Ours is the method's step, its optimizer and the record of its scalars on uint8
batches in memory, and the same fed by the loader (decoded pixels on disk, augmentation, workers).
Writes ``benchmarks/results/step.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch.nn import functional as F

from benchmarks.provenance import footer, provenance
from plankton_da.adaptation.methods import METHODS
from plankton_da.adaptation.optimizers import create_optimizer, set_learning_rate
from plankton_da.adaptation.pairs import StepBatches, UdaBatch, batch_loader
from plankton_da.adaptation.progress import Meter
from plankton_da.adaptation.views import AugmentedImages
from plankton_da.config import ModelConfig, SGDConfig, method_configs
from plankton_da.demo.archive import write_archive
from plankton_da.images.augment import build_augmentation
from plankton_da.images.cache import open_pixels
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.classifier import build_network
from plankton_da.networks.memory import keep_freed_memory

RESULTS = Path(__file__).parent / "results"
CLASSES = 10


def plain_step(backbone: str, images: int, size: int) -> Callable[[], None]:
    """Forward, backward and SGD of a timm network on one batch that is in memory."""
    network = timm.create_model(backbone, num_classes=CLASSES).train()
    network = network.to(memory_format=torch.channels_last)
    for layer in network.modules():  # as ours with batch_norm: frozen
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    batch = torch.randn(images, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (images,))

    def step() -> None:
        loss = F.cross_entropy(network(batch), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def our_step(
    method_name: str, backbone: str, preprocess: Preprocess, batches: Iterator[UdaBatch]
) -> Callable[[], None]:
    """One step of the training loop on the next of ``batches``."""
    model = ModelConfig(backbone=backbone, pretrained="none", batch_norm="frozen", bottleneck_dim=0)
    network = build_network(model, CLASSES, preprocess=preprocess, domains={})
    method = METHODS[method_name](network, method_configs()[method_name](), 0.1).train()
    optimizer = create_optimizer(method, SGDConfig())
    meter = Meter()

    def step() -> None:
        batch = next(batches)
        set_learning_rate(optimizer, 0.5)
        output = method(batch, torch.tensor(0.5))
        optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        optimizer.step()
        meter.add({"loss": output.loss.detach(), **output.scalars})

    return step


def in_memory(batch: int, target: int, size: int) -> Iterator[UdaBatch]:
    """The same random batch for ever."""
    one = UdaBatch(
        torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8),
        torch.randint(0, CLASSES, (batch,)),
        torch.randint(0, 256, (target, 1, size, size), dtype=torch.uint8),
    )
    while True:
        yield one


def loaded(batch: int, preprocess: Preprocess, steps: int, folder: Path) -> Iterator[UdaBatch]:
    """Batches as training loads them, from drawn images."""
    write_archive(folder / "a", seed=0, mid_per_class=20, target_images=120, target_test_images=0)
    files = {name: sorted((folder / "a" / name).rglob("*.png")) for name in ("mid", "target")}
    mid, target = (
        open_pixels(
            [str(path) for path in files[name]],
            Path(),
            name,
            preprocess,
            folder=folder / "cache",
        )
        for name in ("mid", "target")
    )
    augment = build_augmentation("instrument", preprocess.image_size)
    batches = StepBatches(
        AugmentedImages(mid, augment),
        np.arange(len(mid)) % CLASSES,
        AugmentedImages(target, augment),
        batch_size=batch,
        class_balanced=True,
        seed=0,
    )
    return iter(batch_loader(batches, range(steps), workers=2, pin_memory=False))


def measure(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each step in each round, after two rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number >= 2:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    batch, size, backbone = options.batch, options.image_size, options.backbone
    looks = {name: InstrumentLook() for name in ("mid", "target")}
    preprocess = Preprocess(image_size=size, instruments=looks)
    with tempfile.TemporaryDirectory() as folder:
        feed = loaded(batch, preprocess, options.rounds + 2, Path(folder))
        seconds = measure(
            {
                f"plain, {batch} images": plain_step(backbone, batch, size),
                f"source_only, {batch}": our_step(
                    "source_only", backbone, preprocess, in_memory(batch, 0, size)
                ),
                f"plain, {2 * batch} images": plain_step(backbone, 2 * batch, size),
                f"dann, {batch} + {batch}": our_step(
                    "dann", backbone, preprocess, in_memory(batch, batch, size)
                ),
                f"dann, {batch} + {batch}, loaded": our_step("dann", backbone, preprocess, feed),
            },
            options.rounds,
        )
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    names = list(medians)
    ratios = {
        f"{names[1]} / {names[0]}": medians[names[1]] / medians[names[0]],
        f"{names[3]} / {names[2]}": medians[names[3]] / medians[names[2]],
        f"{names[4]} / {names[3]}": medians[names[4]] / medians[names[3]],
    }
    document: dict[str, Any] = {
        **provenance(),
        "options": vars(options),
        "median_seconds": medians,
        "ratios": ratios,
        "seconds": seconds,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "step.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# A training step",
        "",
        f"{backbone}, {size} px, gray, BatchNorm frozen, {options.threads} thread(s), medians of "
        f"{options.rounds} rounds in one process.",
        "",
        "| step | seconds |",
        "|---|---|",
        *(f"| {name} | {value:.3f} |" for name, value in medians.items()),
        "",
        "| ratio | |",
        "|---|---|",
        *(f"| {name} | {value:.3f} |" for name, value in ratios.items()),
        "",
        footer(document),
    ]
    (RESULTS / "step.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
