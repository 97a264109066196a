"""What every test may use."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and instrument files, which users do not have."""
    named = os.environ.get("PLANKTON_DA_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "isiis_pwspc" / "all.csv").is_file():
        words = (
            f"no real test data at {folder}; set PLANKTON_DA_TEST_DATA to the folder that has them"
        )
        if os.environ.get("PLANKTON_DA_REQUIRE_TEST_DATA"):
            pytest.fail(words)
        pytest.skip(words)
    return folder


@pytest.fixture(scope="session")
def draw() -> Callable[[Path, int], Path]:
    """Writes the small gray picture (bright blob, dark ground) that ``seed`` decides."""
    import numpy as np
    from PIL import Image

    def write(path: Path, seed: int) -> Path:
        rng = np.random.default_rng(seed)
        height, width = rng.integers(24, 60, 2)
        pixels = rng.integers(0, 40, (height, width)).astype(np.uint8)
        top, left, side = rng.integers(2, 20, 3)
        pixels[top : top + side, left : left + side] = rng.integers(120, 255)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle's folder: random network, mid CAM1, target CAM2, three classes that all occur."""
    import torch

    from plankton_da.config import ModelConfig
    from plankton_da.images.preprocess import InstrumentLook, Preprocess
    from plankton_da.networks.backbone import Weights
    from plankton_da.networks.bundle import Bundle, BundleInfo, write_bundle
    from plankton_da.networks.classifier import build_network

    preprocess = Preprocess(
        image_size=32,
        instruments={
            "CAM1": InstrumentLook(),
            "CAM2": InstrumentLook(invert=True, polarity="light_on_dark"),
        },
    )
    info = BundleInfo(
        backbone="test_resnet",
        bottleneck_dim=16,
        batch_norm="per_domain",
        classes=("copepod", "medusa", "NA"),
        preprocess=preprocess,
        preprocess_hash=preprocess.hash(),
        method="source_only",
        temperature=1.5,
        mid_instruments=("CAM1",),
        target_instruments=("CAM2",),
    )
    network = build_network(
        ModelConfig(backbone="test_resnet", pretrained="none", bottleneck_dim=16),
        len(info.classes),
        preprocess=preprocess,
        domains=info.domains,
        batch_norm=info.batch_norm,
        weights=Weights("none"),
    )
    noise = torch.Generator().manual_seed(0)
    darkest_of: dict[Literal["mid", "target"], int] = {"mid": 120, "target": 0}
    for domain, darkest in darkest_of.items():  # statistics of their own, as after training
        network.use_domain(domain)
        images = torch.randint(215, 256, (64, 1, 32, 32), generator=noise, dtype=torch.uint8)
        for image in images[:, 0]:
            top, left, side = torch.randint(2, 20, (3,), generator=noise).tolist()
            image[top : top + side, left : left + side] = darkest + 2 * side
        with torch.no_grad():
            for _ in range(30):
                network.train()(images)
    network.eval()
    with torch.no_grad():
        logits = network(images)
        network.head.weight *= 0.3 / logits.std(dim=0)[:, None]
        network.head.bias.copy_(-network(images).mean(dim=0) + network.head.bias)
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle(Bundle(info, network), folder)
    return folder


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    """No test logs to the closed stderr of another, which ran the command line in this process."""
    logger = logging.getLogger("plankton_da")
    logger.handlers = []  # a fixture of a wider scope may have left one
    yield
    logger.handlers = []
    logger.setLevel(logging.NOTSET)
