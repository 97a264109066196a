"""Which engine is taken, what is said about it, and that a run keeps it."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plankton_da.errors import BundleError
from plankton_da.networks.bundle import read_bundle_info
from plankton_da.networks.bundle_int8 import Int8Info, info_text
from plankton_da.networks.onnx_int8 import quantize_onnx
from plankton_da.prediction.engine_choice import EngineChooser, rate_of
from plankton_da.prediction.files import sha256_of
from plankton_da.prediction.folder import ClassifySummary, classify
from plankton_da.prediction.predictor import Engine, Layout, Predictor
from plankton_da.prediction.torch_model import TorchModel

Draw = Callable[[Path, int], Path]


@pytest.fixture(scope="module")
def eight_bits(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an 8-bit model that counts as accepted."""
    folder = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("eight") / "bundle")
    noise = np.random.default_rng(0).integers(0, 256, (32, 1, 32, 32), np.uint8)
    quantize_onnx(folder / "model.onnx", folder / "model.int8.onnx", noise)
    about = Int8Info(
        sha256=sha256_of(folder / "model.int8.onnx"),
        doubt=0.0,
        second_looks=0.0,
        images=1,
        agreement=1.0,
        macro_recall=1.0,
        float_macro_recall=1.0,
        target_agreement=1.0,
        calibration={},
        manifests={},
        versions={},
        created="",
    )
    raw = json.loads((folder / "bundle.json").read_bytes())
    (folder / "bundle.json").write_bytes(info_text({**raw, "int8": about.model_dump()}))
    return folder


@pytest.fixture
def images(tmp_path: Path, draw: Draw) -> Path:
    for n in range(6):
        draw(tmp_path / "in" / f"{n}.png", n)
    return tmp_path / "in"


def chooser(bundle: Path, engine: Engine = "auto", **options: Any) -> EngineChooser:
    return EngineChooser(bundle, read_bundle_info(bundle), engine, "cpu", ("CAM2",), **options)


def with_rates(found: EngineChooser, rates: dict[str, float]) -> EngineChooser:
    """As if the machine were one on which the engines are so fast."""
    found._rate = lambda engine, layout, seconds: rates[engine]  # type: ignore[method-assign]
    return found


def run(bundle: Path, *inputs: Path, out: Path, **options: Any) -> ClassifySummary:
    return classify(bundle, inputs, out, progress=False, device="cpu", **options)


def test_auto_takes_the_fastest_and_says_why(eight_bits: Path) -> None:
    fast = with_rates(chooser(eight_bits), {"onnx": 400, "onnx-int8": 700})
    assert fast.takes_int8()
    assert fast.choose().engine == "onnx-int8"
    assert fast.choose().words.startswith("tried out: onnx 400 images/s, onnx-int8 700 images/s")
    assert fast.choose().words.endswith("onnx-int8 is taken")
    slow = with_rates(chooser(eight_bits), {"onnx": 400, "onnx-int8": 410})
    assert not slow.takes_int8()
    assert slow.choose().words.endswith("onnx is taken: 8 bits are, where they are 5% faster")


def test_second_looks_count_against_8_bits(eight_bits: Path) -> None:
    found = with_rates(chooser(eight_bits), {"onnx": 400, "onnx-int8": 800})
    assert found.info.int8 is not None
    looks = found.info.int8.model_copy(update={"second_looks": 0.45})
    found.info = found.info.model_copy(update={"int8": looks})
    # 1 / 800 + 0.45 / 400 seconds an image
    assert "onnx-int8 421 images/s" in found.choose().words


def test_the_measurement_takes_a_second_at_most(eight_bits: Path) -> None:
    found = chooser(eight_bits)
    before = set(threading.enumerate())
    began = time.perf_counter()
    fast = rate_of(lambda images: time.sleep(len(images) / 1000), noise(8), 2, 0.2)
    assert time.perf_counter() - began < 5  # 0.2 s, and what a busy machine adds
    slow = rate_of(lambda images: time.sleep(0.3), noise(8), 2, 0.2)
    assert 0 < slow < 4.3  # a sleep is never shorter than was asked for, but may be longer
    assert fast > 4 * slow
    assert set(threading.enumerate()) == before
    assert found.choose().engine in ("onnx", "onnx-int8")
    assert found.choose() is found.choose(), "measured once"


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 1, 32, 32), np.uint8)


@pytest.mark.parametrize(
    "options",
    [{"alone": False}, {"begun": {"engine": "onnx", "device": "cpu"}}, {"engine": "onnx"}],
    ids=["shards_agree", "begun_without", "asked_for_another"],
)
def test_8_bits_are_not_taken_where_others_must_agree(
    options: dict[str, Any], eight_bits: Path
) -> None:
    found = with_rates(chooser(eight_bits, **options), {"onnx": 400, "onnx-int8": 9000})
    assert not found.takes_int8()
    assert found.choose().engine == "onnx"


def test_8_bits_serve_the_target_alone(eight_bits: Path) -> None:
    found = with_rates(chooser(eight_bits), {"onnx": 400, "onnx-int8": 9000})
    found.instruments = ("CAM1", "CAM2")
    assert found.choose().engine == "onnx"
    assert Predictor.open(eight_bits, engine="onnx-int8").engine == "onnx-int8"
    with pytest.raises(BundleError, match=r"model\.int8\.onnx serves CAM2 alone"):
        Predictor.open(eight_bits, engine="onnx-int8").check_instrument("CAM1")


def test_a_run_keeps_the_engine_that_it_began_with(
    eight_bits: Path, images: Path, tmp_path: Path, draw: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "P.parquet"
    assert run(eight_bits, images, out=out, engine="onnx-int8").engine == "onnx-int8"
    told = json.loads((tmp_path / "P.run.json").read_text())
    assert told["options"]["engine"] == "onnx-int8"
    sha256 = sha256_of(eight_bits / "model.int8.onnx")
    assert told["options"]["weights"] == f"int8 {sha256}"
    draw(images / "new.png", 99)
    with caplog.at_level(logging.INFO, "plankton_da"):
        again = run(eight_bits, images, out=out)
    assert (again.engine, again.classified) == ("onnx-int8", 1)
    assert "goes on with engine onnx-int8, as it began" in caplog.text
    with pytest.raises(BundleError, match=r"weights: int8 .* there, float now"):
        run(eight_bits, images, out=out, engine="onnx")


def test_engines_that_make_the_same_rows_go_on_with_each_other(
    eight_bits: Path, images: Path, tmp_path: Path, draw: Draw
) -> None:
    out = tmp_path / "P.csv"
    assert run(eight_bits, images, out=out, engine="onnx").engine == "onnx"
    draw(images / "new.png", 99)
    assert run(eight_bits, images, out=out, engine="torch").engine == "torch"
    draw(images / "newer.png", 98)
    again = run(eight_bits, images, out=out)
    assert (again.engine, again.classified, again.images) == ("torch", 1, 8)
    assert run(eight_bits, images, out=out, overwrite=True, engine="onnx").classified == 8


def test_layouts_make_the_same_scores(tiny_bundle: Path) -> None:
    pixels = noise(40).transpose(0, 2, 3, 1)
    alone = Predictor.open(tiny_bundle, engine="onnx", layout=Layout(4, 1))
    together = Predictor.open(tiny_bundle, engine="onnx", layout=Layout(1, 2))
    assert (alone.streams, together.streams) == (4, 1)
    np.testing.assert_array_equal(
        alone.probabilities(pixels, "CAM2"), together.probabilities(pixels, "CAM2")
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_half_precision_on_a_gpu(tiny_bundle: Path) -> None:
    pixels = noise(200).transpose(0, 2, 3, 1)
    half = Predictor.open(tiny_bundle, engine="torch", device="cuda", half_precision=True)
    cpu = Predictor.open(tiny_bundle, engine="torch", device="cpu")
    assert half.streams == 2
    expected = cpu.probabilities(pixels, "CAM2")
    found: list[NDArray[np.float32]] = [expected] * 4
    threads = [
        threading.Thread(
            target=lambda n=n: found.__setitem__(n, half.probabilities(pixels, "CAM2"))
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        np.testing.assert_allclose(each, expected, atol=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_too_large_for_half_precision_goes_on_in_float32(tiny_bundle: Path) -> None:
    from plankton_da.networks.bundle import read_bundle

    network = read_bundle(tiny_bundle).network
    with torch.no_grad():
        network.bottleneck[0].weight *= 1e6  # type: ignore[index, operator]
        network.bottleneck[1].running_var *= 1e12  # type: ignore[index, operator]
    images = noise(8)
    cpu = TorchModel(network, 1.5, "cpu")(images, "CAM2")
    found = TorchModel(network, 1.5, "cuda", half_precision=True)(images, "CAM2")
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, cpu, atol=1e-3)
