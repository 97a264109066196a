"""What a command loads before it can say a word: seconds, where it is the wrong thing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

_RUN = """
import json, sys
from plankton_da.cli import run
code = 0
try:
    run()
except SystemExit as ended:
    code = ended.code or 0
sys.stderr.write("\\n" + json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """Top-level modules that ``plankton-da ARGUMENTS`` has loaded when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stderr.rpartition("\n")[2])
    assert seen["code"] == 0, done.stderr
    return {name.partition(".")[0] for name in seen["modules"]}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two labelled images."""
    for name, shade in (("copepod", 10), ("medusa", 200)):
        Image.new("L", (8, 8), shade).save(tmp_path / f"{name}.png")
    file = tmp_path / "m.csv"
    file.write_text(
        "object_id,image,instrument,label\na,copepod.png,IFCB,copepod\nb,medusa.png,IFCB,medusa\n"
    )
    return file


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"torch", "timm", "pandas", "pyarrow", "numpy", "cv2", "PIL", "pydantic", "mlflow"}
    assert loaded("--help", cwd=tmp_path) & heavy == set()


def test_help_of_a_command_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded("train", "--help", cwd=tmp_path) & {"torch", "pandas", "numpy"} == set()


@pytest.mark.parametrize("options", [[], ["--open-images"]])
def test_manifest_check_loads_no_torch(manifest: Path, options: list[str]) -> None:
    modules = loaded("manifest", "check", str(manifest), *options, cwd=manifest.parent)
    assert modules & {"torch", "timm", "mlflow", "albumentations", "matplotlib"} == set()
    assert {"pandas", "pydantic"} <= modules  # what is loaded is seen


def test_classify_with_onnx_loads_no_torch(tmp_path: Path, tiny_bundle: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8), 10).save(tmp_path / "images" / "copepod.png")
    modules = loaded(
        *("classify", str(tiny_bundle), "images", "--out", "p.csv", "--engine", "onnx"),
        cwd=tmp_path,
    )
    assert modules & {"torch", "timm", "mlflow", "albumentations", "matplotlib"} == set()
    assert "onnxruntime" in modules
