"""The deployable folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from plankton_da.errors import BundleError, OutputError
from plankton_da.networks.bundle import bundle_hash, read_bundle, read_bundle_info, write_bundle


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_round_trip_gives_the_same_logits_for_each_instrument(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    first = read_bundle(tiny_bundle)
    write_bundle(first, tmp_path / "again", onnx=False)
    second = read_bundle(tmp_path / "again")
    images = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    for instrument in ("CAM1", "CAM2"):
        first.network.use_instrument(instrument)
        second.network.use_instrument(instrument)
        assert torch.equal(first.network(images), second.network(images))
    assert first.info == second.info


def test_it_holds_three_files_that_colleagues_can_read(tiny_bundle: Path) -> None:
    assert sorted(path.name for path in tiny_bundle.iterdir()) == [
        "bundle.json",
        "model.onnx",
        "model.safetensors",
    ]
    for path in (tiny_bundle, *tiny_bundle.iterdir()):
        assert path.stat().st_mode & 0o044 == 0o044, path


def test_it_holds_tensors_of_the_network_alone_and_no_pickle(tiny_bundle: Path) -> None:
    from safetensors import safe_open

    with safe_open(tiny_bundle / "model.safetensors", "pt") as file:
        names = list(file.keys())
        assert file.metadata() is None
    tops = {name.split(".")[0] for name in names}
    assert tops == {"backbone", "bottleneck", "head", "statistics"}
    for path in tiny_bundle.iterdir():
        start = path.read_bytes()[:2]
        assert start not in (b"\x80\x02", b"\x80\x04", b"PK"), path  # pickle, or torch's zip of one


def test_onnx_is_the_target_s_network(tiny_bundle: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tiny_bundle / "model.onnx"))
    bundle = read_bundle(tiny_bundle)
    images = torch.randint(0, 256, (7, 1, 32, 32), dtype=torch.uint8)
    (found,) = session.run(["probabilities"], {"images": images.numpy()})
    bundle.network.use_instrument("CAM2")
    with torch.no_grad():
        expected = torch.softmax(bundle.network(images) / bundle.info.temperature, dim=1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_reading_the_description_loads_no_torch(tiny_bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from plankton_da.networks.bundle import read_bundle_info; "
        f"read_bundle_info(Path({str(tiny_bundle)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 2}, "format version 2, this plankton_da reads 1"),
        ({"classes": ["a", "b", "c", "d"]}, "names 4 classes, the weights have 3"),
        ({"backbone": "test_efficientnet"}, "do not fit backbone test_efficientnet"),
        ({"bottleneck_dim": 0}, "do not fit|weights have"),
        ({"surprise": 1}, "surprise"),
        ({"preprocess_hash": "0" * 64}, "does not match preprocess_hash"),
        ({"batch_norm": "shared"}, "do not fit"),
    ],
)
def test_a_description_that_is_wrong_is_refused(
    bundle_copy: Path, changes: dict[str, object], words: str
) -> None:
    edit(bundle_copy, **changes)
    with pytest.raises(BundleError, match=words):
        read_bundle(bundle_copy)


@pytest.mark.parametrize("name", ["bundle.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_a_damaged_file_is_named(bundle_copy: Path, name: str, damage: str) -> None:
    path = bundle_copy / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(BundleError, match=name):
        read_bundle(bundle_copy)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        read_bundle_info(tmp_path / "nowhere")


def test_an_existing_folder_is_not_overwritten(bundle_copy: Path) -> None:
    before = bundle_hash(bundle_copy)
    with pytest.raises(OutputError, match="exists already"):
        write_bundle(read_bundle(bundle_copy), bundle_copy)
    assert bundle_hash(bundle_copy) == before


def test_the_hash_tells_models_apart(tiny_bundle: Path, bundle_copy: Path) -> None:
    assert bundle_hash(bundle_copy) == bundle_hash(tiny_bundle)
    edit(bundle_copy, seed=7)
    assert bundle_hash(bundle_copy) != bundle_hash(tiny_bundle)
