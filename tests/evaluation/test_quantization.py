"""``quantize``: an 8-bit model that labels as the float model does, or none."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from plankton_da.errors import BundleError, DataError, ModelError, OutputError, UsageError
from plankton_da.evaluation.quantization import quantize
from plankton_da.images.refs import open_image
from plankton_da.manifests.table import read_manifest
from plankton_da.networks.bundle import bundle_hash, read_bundle_info
from plankton_da.prediction.onnx_model import DoubtfulModel, OnnxModel, margins
from plankton_da.prediction.predictor import Predictor

Draw = Callable[[Path, int], Path]
MANIFESTS = ("mid.csv", "target.csv")
CLASSES = ("copepod", "medusa", "NA")
DRAWN = 280
_FIRST = range(200)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path, draw: Draw) -> Path:
    """Mid's manifest, labelled as the float model would, and the target's."""
    folder = tmp_path_factory.mktemp("lab")
    for n in range(DRAWN):
        drawn = Image.open(draw(folder / f"t{n}.png", n))
        ImageOps.invert(drawn).save(folder / f"{n}.png")  # mid's are dark on light
    names = [f"{n}.png" for n in range(DRAWN)]
    model = OnnxModel(tiny_bundle / "model.onnx", CLASSES)
    scores = model(pixels_of(folder, names, "CAM1"))
    found = scores.argmax(axis=1)
    assert set(found[:200]) == {0, 1, 2}
    table = pd.DataFrame(
        {
            "object_id": names,
            "image": names,
            "instrument": "CAM1",
            "label": [CLASSES[k] for k in found],
        }
    )
    # one label of a hundred images is too many: of mid none hangs by a hair
    sure = np.flatnonzero(margins(scores) > 0.04)[:200]
    assert len(sure) == 200
    mid, anyone = (table.iloc[rows].assign(split=["train", "val"] * 100) for rows in (sure, _FIRST))
    mid.to_csv(folder / "mid.csv", index=False)
    anyone.to_csv(folder / "any.csv", index=False)
    others = [f"t{name}" for name in names[:200]]
    target = anyone.assign(object_id=others, image=others, instrument="CAM2").iloc[60:]
    target.drop(columns=["label", "split"]).to_csv(folder / "target.csv", index=False)
    return folder


def val_names(folder: Path) -> list[str]:
    """Mid's val images, in the order of the manifest."""
    mid = pd.read_csv(folder / "mid.csv")
    return list(mid["image"][mid["split"] == "val"])


def pixels_of(folder: Path, names: list[str], instrument: str) -> NDArray[np.uint8]:
    """(N, C, H, W)"""
    from plankton_da.images.preprocess import InstrumentLook, Preprocess

    looks = {
        "CAM1": InstrumentLook(),
        "CAM2": InstrumentLook(invert=True, polarity="light_on_dark"),
    }
    preprocess = Preprocess(image_size=32, instruments=looks)
    pixels = np.stack([preprocess(open_image(name, folder), instrument) for name in names])
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


@pytest.fixture
def bundle(tiny_bundle: Path, lab: Path, tmp_path: Path) -> Path:
    """A bundle of its own, trained, it says, on the lab's manifests."""
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    about = json.loads((folder / "bundle.json").read_text())
    about["manifests"] = {
        str(lab / name): read_manifest(lab / name).fingerprint for name in MANIFESTS
    }
    (folder / "bundle.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return folder


def test_an_accepted_model_labels_as_the_float_model_does(bundle: Path, lab: Path) -> None:
    before, text = bundle_hash(bundle), (bundle / "bundle.json").read_bytes()
    found = quantize(bundle)
    assert found == read_bundle_info(bundle).int8
    assert found.images == 100
    assert found.calibration == {"CAM1": 100, "CAM2": 140}
    assert found.float_macro_recall == 1.0, "mid's labels are those of the float model"
    assert bundle_hash(bundle) == before, "it is the same model still"
    about = json.loads((bundle / "bundle.json").read_text())
    assert list(about)[-1] == "int8"
    del about["int8"]
    assert (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode() == text
    assert not list(bundle.glob(".*")), "nothing is left behind"

    pixels = pixels_of(lab, val_names(lab), "CAM1")
    exact = OnnxModel(bundle / "model.onnx", CLASSES)(pixels)
    fast = OnnxModel(bundle / "model.int8.onnx", CLASSES)(pixels)
    assert 0 < np.abs(exact - fast).max() < 0.05
    doubtful = margins(fast) < found.doubt
    predictor = Predictor.open(bundle, engine="onnx-int8", batch_size=128)
    rows = predictor.probabilities(pixels.transpose(0, 2, 3, 1), "CAM2")
    np.testing.assert_allclose(rows, np.where(doubtful[:, None], exact, fast), atol=1e-6)
    assert (rows.argmax(axis=1) == exact.argmax(axis=1)).mean() == found.agreement >= 0.99


def test_a_model_whose_labels_change_is_refused_with_the_figures(
    tiny_bundle: Path, lab: Path, tmp_path: Path
) -> None:
    """It was calibrated on images without organisms, whose ranges those with some leave."""
    Image.new("L", (40, 40), 20).save(lab / "empty.png")
    mid, target = (
        pd.read_csv(lab / name, dtype=str, keep_default_na=False)
        for name in ("any.csv", "target.csv")
    )
    mid.loc[mid["split"] == "train", "image"] = str(lab / "empty.png")
    for table, name in ((mid, "mid.csv"), (target.assign(image="empty.png"), "target.csv")):
        rows = table.assign(image=[str(lab / ref) for ref in table["image"]])
        rows.to_csv(tmp_path / name, index=False)
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = r"refused: (\d\d\.\d+)% the same labels .* on 100 images .*macro recall 1.0000 -> 0\.\d"
    with pytest.raises(BundleError, match=words) as caught:
        quantize(folder, [tmp_path / "mid.csv"], [tmp_path / "target.csv"])
    assert caught.value.exit_code == 4
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(BundleError, match=r"no accepted model\.int8\.onnx"):
        Predictor.open(folder, engine="onnx-int8")


def test_a_second_look_is_had_where_the_first_hesitates() -> None:
    first = np.array([[0.5, 0.3, 0.2], [0.4, 0.39, 0.21], [0.1, 0.1, 0.8]], np.float32)
    looked_at = []

    def exact(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        looked_at.extend(images[:, 0, 0, 0])
        return np.tile(np.array([[0, 1, 0]], np.float32), (len(images), 1))

    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    found = DoubtfulModel(lambda _: first.copy(), exact, 0.1)(images)
    assert looked_at == [1]
    np.testing.assert_array_equal(found, [first[0], [0, 1, 0], first[2]])
    np.testing.assert_allclose(margins(first[:1]), np.log(5 / 3), rtol=1e-6)
    assert np.isinf(margins(np.ones((2, 1), np.float32))).all(), "one class: never in doubt"


def test_out_takes_a_copy(bundle: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    with pytest.raises(UsageError, match="--out DIR takes a copy"):
        quantize(bundle, bundle_uri="models:/plankton@champion")
    found = quantize(bundle, out=tmp_path / "sub" / "small", bundle_uri="models:/plankton@champion")
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert read_bundle_info(tmp_path / "sub" / "small").int8 == found
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["small"]
    with pytest.raises(OutputError, match="exists already"):
        quantize(bundle, out=tmp_path / "sub" / "small")


def test_manifests_that_changed_are_asked_for(bundle: Path, lab: Path, tmp_path: Path) -> None:
    about = json.loads((bundle / "bundle.json").read_text())
    about["manifests"][str(lab / "mid.csv")] = "0" * 64
    about["manifests"][str(tmp_path / "gone.csv")] = "0" * 64
    (bundle / "bundle.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"mid.csv: has changed.*gone.csv.*--mid M.csv"):
        quantize(bundle)
    swapped = [lab / "target.csv"], [lab / "mid.csv"]
    assert quantize(bundle, *swapped).images == 100, "the column instrument says which is which"
    shutil.copy(bundle / "model.onnx", bundle / "model.int8.onnx")
    with pytest.raises(BundleError, match="not the one that was accepted"):
        Predictor.open(bundle, engine="onnx-int8")


def test_a_network_without_convolutions(bundle: Path, lab: Path) -> None:
    from onnx import TensorProto, helper, save

    flat = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["cast"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Concat", ["mean", "mean", "mean"], ["three"], axis=1),
            helper.make_node("Softmax", ["three"], ["probabilities"]),
        ],
        "flat",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 1, 32, 32])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(flat, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, bundle / "model.onnx")
    with pytest.raises(ModelError, match="too few to gain"):
        quantize(bundle)


def test_of_several_draws_the_least_mistaken_is_kept(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = quantize(bundle)
    (line,) = [text for text in caplog.messages if "the least mistaken is kept" in text]
    doubts = [float(word) for word in line.rpartition(": ")[2].rstrip(")").split(", ")]
    assert len(doubts) == 3
    assert max(doubts) > min(doubts)
    assert found.doubt == pytest.approx(min(doubts), abs=5e-5)
    # the file that is there is that model
    assert found.sha256 == hashlib.sha256((bundle / "model.int8.onnx").read_bytes()).hexdigest()
