"""A small bundle with random weights, and drawn images for it."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from plankton_da.config import ModelConfig
from plankton_da.demo.archive import DemoArchive, write_archive
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT, darkfield, shadowgraph
from plankton_da.demo.drawing import TAXA, draw_scene
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.bundle import Bundle, BundleInfo, write_bundle
from plankton_da.networks.classifier import build_network


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The six drawn taxa; whatever it says, it says by chance."""
    preprocess = Preprocess(
        image_size=32,
        instruments={
            MID_INSTRUMENT: InstrumentLook(),
            TARGET_INSTRUMENT: InstrumentLook(invert=True, polarity="light_on_dark"),
        },
    )
    info = BundleInfo(
        backbone="test_resnet",
        bottleneck_dim=16,
        batch_norm="per_domain",
        classes=TAXA,
        preprocess=preprocess,
        preprocess_hash=preprocess.hash(),
        method="source_only",
        temperature=0.05,
        mid_instruments=(MID_INSTRUMENT,),
        target_instruments=(TARGET_INSTRUMENT,),
    )
    network = build_network(
        ModelConfig(backbone="test_resnet", pretrained="none", bottleneck_dim=16),
        len(TAXA),
        preprocess=preprocess,
        domains=info.domains,
        batch_norm="per_domain",
        seed=1,
    )
    for instrument, camera in ((MID_INSTRUMENT, shadowgraph), (TARGET_INSTRUMENT, darkfield)):
        rng = np.random.default_rng(0)
        pictures = [camera(draw_scene(taxon, rng), rng) for taxon in TAXA * 4]
        pixels = np.stack([preprocess(Image.fromarray(p), instrument) for p in pictures])
        network.use_instrument(instrument)
        network.train()
        with torch.no_grad():  # settles the statistics, lest every image get the same class
            for _ in range(40):
                network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    return write_bundle(Bundle(info, network.eval()), folder, onnx=False)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> DemoArchive:
    return write_archive(
        tmp_path_factory.mktemp("archive") / "drawn",
        seed=0,
        mid_per_class=3,
        target_images=0,
        target_test_images=24,
    )


@pytest.fixture
def manifest_rows(archive: DemoArchive) -> list[dict[str, str]]:
    """Rows of a manifest: mid is split train, the target test."""
    with archive.truth.open(encoding="utf-8", newline="") as file:
        return [
            {**row, "object_id": row["image"], "image": str(archive.folder / row["image"])}
            for row in csv.DictReader(file)
        ]
