"""``torchrun -m plankton_da train``: several processes are one run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow
if sys.platform == "win32":
    pytest.skip("POSIX signals", allow_module_level=True)

SETTINGS = {
    "model.backbone": "test_resnet",
    "model.pretrained": "none",
    "model.bottleneck_dim": "0",
    "model.batch_norm": "frozen",
    "method.hidden_dim": "8",
    "data.image_size": "32",
    "data.batch_size_per_instrument": "8",
    "data.cache": "none",
    "data.workers": "0",
    "training.steps": "20",
    "training.evaluate_every": "10",
    "training.device": "cpu",
    "training.yardstick": "false",
}
"""dann is a loss per image; frozen BatchNorm and no bottleneck: nothing couples the images"""


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


def start(
    lab: Path, output_dir: str, processes: int, *options: str, **settings: str
) -> subprocess.Popen[str]:
    keys = SETTINGS | {"output_dir": output_dir} | settings
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    launcher = [sys.executable, "-m", "plankton_da"]
    if processes > 1:
        run = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        launcher = [sys.executable, "-m", *run, "-m", "plankton_da"]
    return subprocess.Popen(
        [*launcher, "train", "my.yaml", "--json", *sets, *options],
        cwd=lab,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(lab: Path, output_dir: str, processes: int, *options: str, **settings: str) -> str:
    """A run's stderr."""
    process = start(lab, output_dir, processes, *options, **settings)
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert json.loads(out)["bundle"] == f"{output_dir}/bundle"  # one document: rank 0's
    return err


def weights(lab: Path, output_dir: str) -> dict[str, np.ndarray]:
    return load_file(lab / output_dir / "bundle" / "model.safetensors")


def require_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def one(lab: Path) -> dict[str, np.ndarray]:
    """Weights of a run in one process."""
    finish(lab, "one", 1)
    return weights(lab, "one")


@pytest.fixture(scope="module")
def two(lab: Path) -> Path:
    """A finished run of two processes."""
    err = finish(lab, "two", 2)
    assert err.count("step 10/20 evaluated") == 1
    return lab / "two"


def test_two_processes_learn_what_one_does(
    lab: Path, one: dict[str, np.ndarray], two: Path
) -> None:
    require_close(weights(lab, "two"), one)
    assert json.loads((two / "run.json").read_text())["processes"] == 2
    names = sorted(path.name for path in (two / "checkpoints").iterdir())
    assert names == ["step_0000010.pt", "step_0000020.pt"]
    with sqlite3.connect(lab / "mlflow.db") as database:
        runs = database.execute("select name, status from runs order by name").fetchall()
    assert [run for run in runs if run[0] == "two"] == [("two", "FINISHED")]


def test_a_run_goes_on_in_another_number_of_processes(
    lab: Path, one: dict[str, np.ndarray], two: Path
) -> None:
    shutil.copytree(two, lab / "fewer")
    (lab / "fewer" / "checkpoints" / "step_0000020.pt").unlink()
    (lab / "fewer" / "result.json").unlink()
    shutil.rmtree(lab / "fewer" / "bundle")
    err = finish(lab, "fewer", 1, "--resume")
    assert "began in 2 process(es) and goes on in 1" in err
    assert "continuing after step 10 of 20" in err
    require_close(weights(lab, "fewer"), one)


def test_ctrl_c_stops_all_at_one_step_and_resume_ends_as_if_it_had_not(lab: Path) -> None:
    steps = {"training.steps": "400", "training.evaluate_every": "100"}
    process = start(lab, "stopped", 2, **steps)
    checkpoints = lab / "stopped" / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("*.pt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    last = max(int(path.stem.split("_")[1]) for path in checkpoints.glob("*.pt"))
    assert 100 <= last < 400
    assert f"interrupted after step {last};" in err
    finish(lab, "stopped", 2, "--resume", **steps)
    finish(lab, "whole", 2, **steps)
    expected, found = weights(lab, "whole"), weights(lab, "stopped")
    assert all(np.array_equal(found[name], value) for name, value in expected.items())


def test_what_cannot_be_divided_is_said_once(lab: Path) -> None:
    process = start(lab, "odd", 2, **{"data.batch_size_per_instrument": "7"})
    out, err = process.communicate(timeout=300)
    assert process.returncode != 0
    assert out == ""
    words = "batch_size_per_instrument: 7 cannot be divided over 2 processes; set it to 6 or 8"
    assert err.count(words) == 1
    assert not (lab / "odd").exists()
