"""``plankton-da quantize`` as it is typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Draw = Callable[[Path, int], Path]


def plankton_da(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plankton_da", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def lab(tmp_path: Path, tiny_bundle: Path, draw: Draw) -> Path:
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    lines = {"mid": ["object_id,image,instrument,label,split"], "target": []}
    lines["target"] = ["object_id,image,instrument"]
    for n in range(60):
        draw(tmp_path / f"{n}.png", n)
        lines["mid"].append(f"m{n},{n}.png,CAM1,{('copepod', 'medusa')[n % 2]},{_split(n)}")
        lines["target"].append(f"t{n},{n}.png,CAM2")
    for name, text in lines.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(text) + "\n")
    return tmp_path


def _split(n: int) -> str:
    return "val" if n % 3 == 0 else "train"


def test_quantize_then_classify(lab: Path) -> None:
    done = plankton_da(lab, "quantize", "bundle")
    assert done.returncode == 3
    assert "the bundle names none" in done.stderr
    assert "--mid M.csv --target T.csv" in done.stderr
    options = ("--mid", "mid.csv", "--target", "target.csv", "--out", "small", "--json")
    done = plankton_da(lab, "quantize", "bundle", *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["images"] == 20
    assert found["agreement"] >= 0.99
    assert "calibrating on 40 images of CAM1 and 60 images of CAM2" in done.stderr
    asked = ("target.csv", "--out", "P.csv", "--engine", "onnx-int8", "--json")
    done = plankton_da(lab, "classify", "small", *asked)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["engine"] == "onnx-int8"
    done = plankton_da(lab, "classify", "bundle", *asked)
    assert done.returncode == 4
    assert "plankton-da quantize BUNDLE" in done.stderr
