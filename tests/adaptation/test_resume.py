"""A run that is stopped, however it is, and resumed ends as one that never stopped: bit for bit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

if sys.platform == "win32":
    pytest.skip("POSIX signals", allow_module_level=True)

SETTINGS = {
    "model.backbone": "test_resnet",
    "model.pretrained": "none",
    "model.bottleneck_dim": "16",
    "model.batch_norm": "per_domain",
    "method.hidden_dim": "16",
    "data.image_size": "32",
    "data.batch_size_per_instrument": "8",
    "data.cache": "none",
    "data.workers": "0",
    "training.steps": "60",
    "training.evaluate_every": "10",
    "training.device": "cpu",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with two drawn cameras' manifests and ``dann.yaml``."""
    from plankton_da.config_text import config_text, write_config
    from plankton_da.demo.archive import write_archive
    from plankton_da.manifests.ingest import IngestOptions, build_manifest

    folder = tmp_path_factory.mktemp("lab")
    archive = write_archive(
        folder / "archive", seed=0, mid_per_class=8, target_images=20, target_test_images=0
    )
    build_manifest("folders", [archive.mid], "SHADOW", folder / "mid.csv")
    build_manifest(
        "folders",
        [archive.target_pool],
        "DARK",
        folder / "target.csv",
        options=IngestOptions(labelled=False),
    )
    write_config(config_text("dann", mid=("mid.csv",), target=("target.csv",)), folder / "my.yaml")
    return folder


def words(output_dir: str, *options: str, **settings: str) -> list[str]:
    keys = SETTINGS | {"output_dir": output_dir} | settings
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "plankton_da", "train", "my.yaml", *sets, *options]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def finish(lab: Path, output_dir: str, *options: str, **settings: str) -> dict[str, Any]:
    done = subprocess.run(
        words(output_dir, "--json", *options, **settings),
        cwd=lab,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def stop(lab: Path, number: signal.Signals, output_dir: str, **settings: str) -> tuple[int, str]:
    """Start a run, and send the signal to it and its workers some steps after a checkpoint."""
    with subprocess.Popen(
        words(output_dir, **settings),
        cwd=lab,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        while not list((lab / output_dir).glob("checkpoints/step_*.pt")):
            assert running.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        os.killpg(running.pid, number)
        out, err = running.communicate(timeout=120)
    assert out == ""
    assert not (lab / output_dir / "result.json").exists(), "it was stopped before its end"
    return running.returncode, err


@pytest.fixture(scope="module")
def never_stopped(lab: Path) -> dict[str, Any]:
    """The result of a run that nothing disturbed, in ``whole``."""
    return finish(lab, "whole")


def last_step(folder: Path) -> int:
    return max(int(path.stem.removeprefix("step_")) for path in folder.glob("checkpoints/*.pt"))


def assert_same(lab: Path, output_dir: str, result: dict[str, Any], whole: dict[str, Any]) -> None:
    learnt = load_file(lab / output_dir / "bundle" / "model.safetensors")
    expected = load_file(lab / "whole" / "bundle" / "model.safetensors")
    assert learnt.keys() == expected.keys()
    for name, weights in expected.items():
        np.testing.assert_array_equal(learnt[name], weights, err_msg=name)
    moved = {"run_id", "bundle"}
    assert {key: value for key, value in result.items() if key not in moved} == {
        key: value for key, value in whole.items() if key not in moved
    }


def assert_one_run(lab: Path, output_dir: str, run_id: str, whole_id: str) -> None:
    """One finished MLflow run with what the undisturbed one has, each step once."""
    with contextlib.closing(sqlite3.connect(lab / "mlflow.db")) as database:

        def rows(query: str, run: str) -> list[tuple[Any, ...]]:
            return database.execute(f"{query} WHERE run_uuid = ? ORDER BY 1, 2", [run]).fetchall()

        (state,) = rows("SELECT status, name FROM runs", run_id)
        assert state == ("FINISHED", output_dir)
        metrics = "SELECT key, step, value FROM metrics"
        assert rows(metrics, run_id) == rows(metrics, whole_id)
        params = [dict(rows("SELECT key, value FROM params", run)) for run in (run_id, whole_id)]
        assert params[0] | {"output_dir": "", "data.workers": ""} == (
            params[1] | {"output_dir": "", "data.workers": ""}
        )


@pytest.mark.parametrize(
    ("name", "workers"),
    [
        ("SIGKILL", "0"),
        ("SIGINT", "2"),
        pytest.param("SIGTERM", "0", marks=pytest.mark.slow),
        pytest.param("SIGKILL", "2", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_resumes_bit_for_bit_in_the_same_mlflow_run(
    name: str, workers: str, lab: Path, never_stopped: dict[str, Any]
) -> None:
    output_dir = f"{name}-{workers}"
    code, err = stop(lab, signal.Signals[name], output_dir, **{"data.workers": workers})
    run_id = json.loads((lab / output_dir / "run.json").read_text())["run_id"]
    step = last_step(lab / output_dir)
    assert 0 < step < 60
    if name == "SIGKILL":
        assert code == -signal.SIGKILL
        assert step % 10 == 0, "what came after the last checkpoint is lost, and done again"
    else:
        assert code == 130
        assert f"interrupted after step {step}; continue with --resume" in err
        assert "Traceback" not in err
    result = finish(lab, output_dir, "--resume")
    assert result["run_id"] == run_id != never_stopped["run_id"]
    assert_same(lab, output_dir, result, never_stopped)
    assert_one_run(lab, output_dir, run_id, never_stopped["run_id"])
    assert not list((lab / output_dir).rglob("*.tmp"))


PROGRAM = """
import os, signal, sys
from plankton_da.cli import main

deadly, calls, replace = int(os.environ["KILL_AT_REPLACEMENT"]), 0, os.replace

def replace_or_die(source, target):
    global calls
    if os.path.abspath(target).startswith(os.path.abspath(os.environ["OUTPUT_DIR"])):
        calls += 1
        if calls == deadly:
            os.kill(os.getpid(), signal.SIGKILL)  # the new file is whole but has no name yet
    replace(source, target)

os.replace = replace_or_die
sys.argv[0] = "plankton-da"
main()
"""


# Of an output_dir are replaced: run.json, two checkpoints, the bundle, diagnosis.json, result.json
@pytest.mark.parametrize("replacement", [1, 3, 4, 6])
def test_kill_9_before_a_file_gets_its_name(
    replacement: int, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plankton_da.adaptation.training import train
    from plankton_da.config_reading import load_config
    from plankton_da.networks.bundle import read_bundle

    output_dir = f"replacement-{replacement}"
    settings = {"training.steps": "2", "training.evaluate_every": "1", "tracking.backend": "none"}
    given = words(output_dir, **settings)[3:]
    killed = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given],
        cwd=lab,
        env=environment() | {"KILL_AT_REPLACEMENT": str(replacement), "OUTPUT_DIR": output_dir},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (lab / output_dir / "result.json").exists()
    monkeypatch.chdir(lab)
    keys = SETTINGS | {"output_dir": output_dir} | settings
    config = load_config("my.yaml", [f"{key}={value}" for key, value in keys.items()])
    result = train(config, resume=True)
    assert result == train(config, resume=True), "finished now"
    assert read_bundle(Path(result.bundle)).info.seed == 0
    left = [path.name for path in (lab / output_dir).iterdir() if path.name.startswith(".")]
    assert left == []
