"""``train --quick``: the last layer alone learns, and ``--set`` has the last word."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from safetensors.numpy import load_file

Run = Callable[..., subprocess.CompletedProcess[str]]

FREE = {"training__frozen_copies": 2, "model__bottleneck_dim": 0}
"""what the fixture sets otherwise, and what a user sets beside --quick"""


def test_only_the_last_layer_learns(train: Run, tmp_path: Path) -> None:
    tensors = []
    for steps in (1, 3):
        done = train("--quick", training__steps=steps, output_dir=f"run{steps}", **FREE)
        assert done.returncode == 0, done.stderr
        tensors.append(load_file(tmp_path / f"run{steps}" / "bundle" / "model.safetensors"))
    moved = {name for name, value in tensors[0].items() if not (value == tensors[1][name]).all()}
    assert moved == {"head.weight", "head.bias"}
    config = json.loads((tmp_path / "run3" / "run.json").read_text())["config"]
    assert config["model"]["freeze"] == "all"
    assert config["model"]["bottleneck_dim"] == 0
    assert config["training"]["frozen_copies"] == 2
