"""Whose run a folder holds, also where an earlier version wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plankton_da.adaptation.run_folder import RunFolder
from plankton_da.config import Config
from plankton_da.config_reading import parse_config
from plankton_da.errors import ConfigError


def begun(folder: Path, drop: str, changes: dict[str, object]) -> Config:
    """A run whose ``run.json`` knows nothing of the option ``drop``; the config as it is now."""
    data = {"mid": "m.csv", "target": "t.csv"}
    raw = {"output_dir": str(folder), "data": data, "method": {"name": "mcc"}}
    config = parse_config(raw)
    run = RunFolder(folder)
    run.claim(config, resume=False)
    run.begin(config, None, None, 1)
    run.unlock()
    state = json.loads((folder / "run.json").read_text())
    section, key = drop.split(".")
    del state["config"][section][key]
    (folder / "run.json").write_text(json.dumps(state))
    return parse_config({**raw, **changes})


def test_an_option_that_is_new_had_its_default(tmp_path: Path) -> None:
    config = begun(tmp_path / "run", "optimizer.layer_decay", {})
    assert RunFolder(tmp_path / "run").claim(config, resume=True) is None


def test_a_new_option_that_is_set_otherwise_is_another_config(tmp_path: Path) -> None:
    config = begun(tmp_path / "run", "optimizer.layer_decay", {"optimizer": {"layer_decay": 0.75}})
    with pytest.raises(ConfigError, match=r"optimizer.layer_decay was 1.0, is 0.75"):
        RunFolder(tmp_path / "run").claim(config, resume=True)
