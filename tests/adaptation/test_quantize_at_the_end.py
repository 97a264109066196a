"""``training.quantize``: the bundle of a run gets its 8-bit model."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from plankton_da.adaptation.training import train
from plankton_da.config_reading import parse_config
from plankton_da.demo.archive import write_archive
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.manifests.ingest import build_manifest
from plankton_da.networks.bundle import bundle_hash, read_bundle_info


def test_a_run_ends_with_an_8_bit_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = write_archive(
        tmp_path / "a", seed=0, mid_per_class=14, target_images=0, target_test_images=40
    )
    build_manifest("folders", [archive.mid], MID_INSTRUMENT, tmp_path / "mid.csv")
    build_manifest("folders", [archive.target_test], TARGET_INSTRUMENT, tmp_path / "target.csv")
    config = parse_config(
        {
            "output_dir": str(tmp_path / "run"),
            "data": {
                "mid": str(tmp_path / "mid.csv"),
                "target": str(tmp_path / "target.csv"),
                "image_size": 32,
                "batch_size_per_instrument": 8,
                "workers": 0,
                "cache": "none",
            },
            "model": {"backbone": "test_resnet", "pretrained": "none", "bottleneck_dim": 8},
            "method": {"name": "dann"},
            "training": {"steps": 2, "evaluate_every": 2, "quantize": True},
            "tracking": {"backend": "none"},
        }
    )
    with caplog.at_level(logging.INFO, "plankton_da"):
        result = train(config)
    bundle = Path(result.bundle)
    info = read_bundle_info(bundle)
    assert info.int8 is not None, caplog.text
    assert set(info.int8.calibration) == {MID_INSTRUMENT, TARGET_INSTRUMENT}
    assert info.int8.manifests == info.manifests
    assert caplog.text.count("model.int8.onnx accepted") == 1, "the yardstick goes without"
    before = bundle_hash(bundle), info.int8.sha256
    assert train(config, resume=True) == result
    again = read_bundle_info(bundle).int8
    assert again is not None
    assert (bundle_hash(bundle), again.sha256) == before
