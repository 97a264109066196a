"""Bundles that cannot be used: exit code 4 from every command and engine, nothing classified."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]
Draw = Callable[[Path, int], Path]


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(bundle: Path) -> None:
        document = json.loads((bundle / "bundle.json").read_text())
        (bundle / "bundle.json").write_text(json.dumps(document | changes))

    return edit


def cut(name: str, share: float) -> Callable[[Path], None]:
    def edit(bundle: Path) -> None:
        content = (bundle / name).read_bytes()
        (bundle / name).write_bytes(content[: int(len(content) * share)])

    return edit


def smaller_images(bundle: Path) -> None:
    document = json.loads((bundle / "bundle.json").read_text())
    document["preprocess"]["image_size"] = 64
    (bundle / "bundle.json").write_text(json.dumps(document))


def without_weights(bundle: Path) -> None:
    (bundle / "model.safetensors").unlink()


def text_as_description(bundle: Path) -> None:
    (bundle / "bundle.json").write_bytes(b"\xff\xfe text")


FAULTS = {
    "other_version": (edited(format_version=2), "format version 2, this plankton_da reads 1; use"),
    "no_version": (edited(format_version=None), "format version None"),
    "no_object": (lambda b: (b / "bundle.json").write_text("[]"), "format version None"),
    "truncated_description": (cut("bundle.json", 0.5), "bundle.json is damaged"),
    "empty_description": (cut("bundle.json", 0), "bundle.json is damaged"),
    "text_as_description": (text_as_description, "bundle.json is damaged"),
    "truncated_weights": (cut("model.safetensors", 0.5), "model.safetensors is damaged"),
    "empty_weights": (cut("model.safetensors", 0), "model.safetensors is damaged"),
    "no_weights": (without_weights, "model.safetensors is missing; copy the bundle again"),
    "foreign_classes": (
        edited(classes=["copepod", "medusa", "NA", "salp"]),
        "bundle.json names 4 classes, the weights have 3",
    ),
    "class_named_twice": (edited(classes=["copepod"] * 3), "classes: Value error, a class is"),
    "edited_preprocess": (smaller_images, "preprocess does not match preprocess_hash"),
    "unknown_key": (edited(colour="blue"), "is not a valid bundle: colour"),
    "no_temperature": (edited(temperature=0), "temperature: Input should be greater than 0"),
    "no_target": (edited(target_instruments=[]), "target_instruments: "),
}


@pytest.fixture
def lab(tmp_path: Path, tiny_bundle: Path, draw: Draw) -> Path:
    """A folder with a bundle of its own, three pictures and a labelled manifest of them."""
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    lines = ["object_id,image,instrument,label"]
    for n, label in enumerate(("copepod", "medusa", "NA")):
        draw(tmp_path / "in" / f"{n}.png", n)
        lines.append(f"{n},in/{n}.png,CAM2,{label}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_bundle_is_refused(fault: str, lab: Path, command: Run, tiny_bundle: Path) -> None:
    spoil, words = FAULTS[fault]
    spoil(lab / "bundle")
    for arguments in (
        ("classify", "bundle", "in", "--out", "P.csv"),
        ("classify", "bundle", "in", "--out", "P.csv", "--engine", "torch"),
        ("evaluate", "bundle", "m.csv"),
    ):
        done = command(*arguments)
        assert done.returncode == 4, arguments
        assert done.stderr.startswith("plankton-da: bundle")
        assert words in done.stderr
        assert any(way in done.stderr for way in ("copy the bundle again", "use the plankton_da"))
        assert done.stdout == ""
    assert sorted(path.name for path in lab.iterdir()) == ["bundle", "in", "m.csv"]


def test_a_damaged_onnx_file_costs_nothing(lab: Path, command: Run, tiny_bundle: Path) -> None:
    cut("model.onnx", 0.5)(lab / "bundle")
    done = command("classify", "bundle", "in", "--out", "P.csv")
    assert done.returncode == 4
    assert "model.onnx" in done.stderr
    assert not (lab / "P.csv").exists()
    shutil.copy(tiny_bundle / "model.onnx", lab / "bundle")
    assert command("classify", "bundle", "in", "--out", "P.csv").returncode == 0
    assert (lab / "P.csv").read_text().count("\n") == 4


@pytest.mark.parametrize("backbone", ["test_resnett", "test_efficientnet"])
def test_weights_of_another_backbone(backbone: str, lab: Path, command: Run) -> None:
    edited(backbone=backbone)(lab / "bundle")
    done = command("classify", "bundle", "in", "--out", "P.csv", "--engine", "torch")
    assert done.returncode == 4
    assert backbone in done.stderr
    assert not (lab / "P.csv").exists()


@pytest.mark.parametrize("name", ["nowhere", "in", "m.csv"])
def test_what_is_no_bundle(name: str, lab: Path, command: Run) -> None:
    done = command("classify", name, "in", "--out", "P.csv")
    assert done.returncode == 4
    assert done.stderr.startswith(f"plankton-da: {name}")
    assert "bundle" in done.stderr
    assert not (lab / "P.csv").exists()
