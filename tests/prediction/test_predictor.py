"""The predictor: engines agree, neighbours do not matter, instruments do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plankton_da.errors import BundleError, DataError, ModelError
from plankton_da.images.refs import open_image
from plankton_da.networks.bundle import read_bundle
from plankton_da.prediction.predictor import Engine, Predictor, Views


@pytest.fixture
def pixels(
    tiny_bundle: Path, tmp_path: Path, draw: Callable[[Path, int], Path]
) -> NDArray[np.uint8]:
    """uint8 (40, 32, 32, 1) of the target's look."""
    preprocess = Predictor.open(tiny_bundle).preprocess
    paths = [draw(tmp_path / f"{n}.png", n) for n in range(40)]
    return np.stack([preprocess(open_image(p.name, tmp_path), "CAM2") for p in paths])


def test_probabilities_are_softmax_of_the_logits_over_temperature(
    tiny_bundle: Path, pixels: NDArray[np.uint8]
) -> None:
    bundle = read_bundle(tiny_bundle)
    bundle.network.use_instrument("CAM2")
    with torch.no_grad():
        logits = bundle.network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    expected = torch.softmax(logits / 1.5, dim=1).numpy()
    found = Predictor(bundle, engine="torch").probabilities(pixels, "CAM2")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(found.argmax(axis=1))) == 3


def test_engines_agree(tiny_bundle: Path, pixels: NDArray[np.uint8]) -> None:
    onnx = Predictor.open(tiny_bundle, engine="onnx").probabilities(pixels, "CAM2")
    network = Predictor.open(tiny_bundle, engine="torch").probabilities(pixels, "CAM2")
    np.testing.assert_allclose(onnx, network, atol=1e-4)
    np.testing.assert_array_equal(onnx.argmax(axis=1), network.argmax(axis=1))


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_an_image_in_a_batch_is_that_image_alone(
    engine: Engine, tiny_bundle: Path, pixels: NDArray[np.uint8]
) -> None:
    predictor = Predictor.open(tiny_bundle, engine=engine)
    together = predictor.probabilities(pixels, "CAM2")
    alone = np.concatenate([predictor.probabilities(pixels[n : n + 1], "CAM2") for n in range(40)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    again = predictor.probabilities(pixels, "CAM2")
    np.testing.assert_array_equal(together, again)


def test_batch_size_bounds_what_the_model_sees(
    tiny_bundle: Path, pixels: NDArray[np.uint8]
) -> None:
    by_seven = Predictor.open(tiny_bundle, batch_size=7).probabilities(pixels, "CAM2")
    at_once = Predictor.open(tiny_bundle, batch_size=64).probabilities(pixels, "CAM2")
    np.testing.assert_allclose(by_seven, at_once, atol=1e-6)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("views", [4, 8])
def test_averaged_views_do_not_depend_on_how_an_image_is_turned(
    engine: Engine, views: Views, tiny_bundle: Path, pixels: NDArray[np.uint8]
) -> None:
    predictor = Predictor.open(tiny_bundle, engine=engine, views=views)
    instrument = predictor.default_instrument
    found = predictor.probabilities(pixels, instrument)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    plain = Predictor.open(tiny_bundle, engine=engine)
    turns = [np.rot90(pixels, turn, axes=(1, 2)) for turn in range(4)]
    if views == 8:
        turns += [turn[:, ::-1] for turn in turns]
    expected = np.mean([plain.probabilities(turn, instrument) for turn in turns], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - plain.probabilities(pixels, instrument)).max() > 1e-4
    for turn in turns:
        np.testing.assert_allclose(predictor.probabilities(turn, instrument), found, atol=1e-5)


def test_no_images_give_no_rows(tiny_bundle: Path) -> None:
    empty = np.empty((0, 32, 32, 1), np.uint8)
    assert Predictor.open(tiny_bundle).probabilities(empty, "CAM2").shape == (0, 3)


def test_auto_takes_onnx_for_the_target_and_torch_for_mid(
    tiny_bundle: Path, pixels: NDArray[np.uint8]
) -> None:
    predictor = Predictor.open(tiny_bundle, device="cpu")
    assert predictor.engine == "onnx"
    assert predictor.default_instrument == "CAM2"
    mid = predictor.probabilities(pixels, "CAM1")
    expected = Predictor.open(tiny_bundle, engine="torch").probabilities(pixels, "CAM1")
    np.testing.assert_allclose(mid, expected, atol=1e-6)
    target = predictor.probabilities(pixels, "CAM2")
    assert np.abs(mid - target).max() > 0.01, "each instrument has its own statistics"


def test_onnx_refuses_an_instrument_that_it_does_not_serve(
    tiny_bundle: Path, pixels: NDArray[np.uint8]
) -> None:
    predictor = Predictor.open(tiny_bundle, engine="onnx")
    with pytest.raises(BundleError, match=r"serves CAM2 alone; found instrument CAM1.*--engine"):
        predictor.probabilities(pixels, "CAM1")


@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_unknown_instrument(engine: Engine, tiny_bundle: Path, pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(DataError, match="CAM7"):
        Predictor.open(tiny_bundle, engine=engine).probabilities(pixels, "CAM7")


def test_without_onnx_file(tiny_bundle: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(tiny_bundle, tmp_path / "bare")
    (bare / "model.onnx").unlink()
    assert Predictor.open(bare).engine == "torch"
    with pytest.raises(BundleError, match=r"no model\.onnx"):
        Predictor.open(bare, engine="onnx")
    in_memory = read_bundle(bare)
    in_memory.folder = None
    assert Predictor(in_memory).engine == "torch"


def test_damaged_onnx_file(tiny_bundle: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(tiny_bundle, tmp_path / "damaged")
    whole = (damaged / "model.onnx").read_bytes()
    (damaged / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=r"model\.onnx: damaged"):
        Predictor.open(damaged)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_cuda(tiny_bundle: Path) -> None:
    with pytest.raises(ModelError, match="no CUDA device"):
        Predictor.open(tiny_bundle, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(tiny_bundle: Path, pixels: NDArray[np.uint8]) -> None:
    predictor = Predictor.open(tiny_bundle, device="cuda")
    assert predictor.engine == "torch"
    cpu = Predictor.open(tiny_bundle, engine="torch", device="cpu")
    np.testing.assert_allclose(
        predictor.probabilities(pixels, "CAM2"), cpu.probabilities(pixels, "CAM2"), atol=1e-4
    )


def test_onnx_engine_needs_no_torch(tiny_bundle: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from plankton_da.prediction.predictor import Predictor\n"
        "Predictor.open(Path(sys.argv[1]), engine='onnx')\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny_bundle)], check=False)
    assert done.returncode == 0
