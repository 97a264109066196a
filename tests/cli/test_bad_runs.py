"""Runs that cannot start or continue, MLflow that is not there, Ctrl-C: what is said and kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plankton_da.adaptation.run_folder import RunFolder

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_an_output_dir_with_a_run_is_kept(train: Run, own_run: Path) -> None:
    before = files_of(own_run)
    done = train()
    assert done.returncode == 2
    assert "output_dir run holds a run already" in done.stderr
    assert "--resume" in done.stderr
    assert "--set output_dir=" in done.stderr
    assert files_of(own_run) == before


def test_resume_of_a_finished_run_prints_its_result(train: Run, own_run: Path) -> None:
    before = files_of(own_run)
    done = train("--resume", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document == json.loads((own_run / "result.json").read_text())
    assert set(document) == {
        *("run_id", "bundle", "selected_step", "selected_by", "metrics", "diagnosis")
    }
    assert files_of(own_run) == before


def test_resume_of_a_missing_run_starts_it(train: Run, finished_run: Path, tmp_path: Path) -> None:
    done = train("--resume")
    assert done.returncode == 0, done.stderr
    bundle = Path("bundle", "model.safetensors")
    assert (tmp_path / "run" / bundle).read_bytes() == (finished_run / bundle).read_bytes()


def test_resume_with_another_config_is_refused(train: Run, own_run: Path) -> None:
    before = files_of(own_run)
    done = train("--resume", seed=3, training__steps=9)
    assert done.returncode == 2
    assert "run holds a run of another config: " in done.stderr
    assert "seed was 0, is 3" in done.stderr
    assert "training.steps was 2, is 9" in done.stderr
    assert "another output_dir" in done.stderr
    assert files_of(own_run) == before


def test_resume_with_settings_that_change_nothing_learnt(train: Run, own_run: Path) -> None:
    done = train("--resume", data__workers=1, data__cache="memory_map")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_a_folder_that_holds_something_else_is_left_alone(
    options: tuple[str, ...], train: Run, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    done = train(*options)
    assert done.returncode == 2
    assert "output_dir run exists and holds no run; give another one" in done.stderr
    assert files_of(tmp_path / "run") == {"thesis.tex": b"x"}


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("run.json", b'{"run_id": null, "conf', 2, "run.json is damaged"),
        ("run.json", b"[]", 2, "run.json is damaged"),
        ("result.json", b'{"run_id": nu', 2, "result.json is damaged"),
        ("result.json", b'{"runid": 1}', 2, "result.json is damaged"),
        ("checkpoints/step_0000002.pt", b"", 4, "remove this file, and --resume continues from"),
        ("checkpoints/step_0000002.pt", b"PK\x03\x04", 4, "remove this file, and --resume"),
        ("checkpoints/step_0000002.pt", b"text", 4, "remove this file, and --resume"),
    ],
)
def test_resume_of_a_damaged_run(
    name: str, content: bytes, code: int, words: str, train: Run, own_run: Path
) -> None:
    if name.startswith("checkpoints"):
        (own_run / "result.json").unlink()
    (own_run / name).write_bytes(content)
    done = train("--resume")
    assert done.returncode == code
    assert f"run/{name}" in done.stderr
    assert words in done.stderr


def test_the_way_out_of_a_damaged_checkpoint_works(
    train: Run, own_run: Path, finished_run: Path
) -> None:
    (own_run / "result.json").unlink()
    shutil.rmtree(own_run / "bundle")
    (own_run / "checkpoints" / "step_0000002.pt").unlink()
    done = train("--resume")
    assert done.returncode == 0, done.stderr
    assert "continuing after step 1 of 2" in done.stderr
    bundle = Path("bundle", "model.safetensors")
    assert (own_run / bundle).read_bytes() == (finished_run / bundle).read_bytes()


def test_what_a_process_killed_at_the_start_left_is_no_obstacle(train: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.123.tmp").write_text('{"run_i')
    assert train().returncode == 0


def test_a_manifest_that_was_changed_since_is_refused(
    train: Run, own_run: Path, drawn_lab: Path
) -> None:
    (own_run / "result.json").unlink()
    mid = drawn_lab / "mid.csv"
    before, kept = mid.read_bytes(), files_of(own_run)
    try:
        mid.write_bytes(before.replace(b",medusa\n", b",salp\n"))
        done = train("--resume")
    finally:
        mid.write_bytes(before)
    assert done.returncode == 2
    assert f"{mid} was changed since the run in run began" in done.stderr
    assert "another output_dir" in done.stderr
    assert files_of(own_run) == kept


# --- MLflow


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """``deaf`` takes connections and never answers; nobody listens at ``closed``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield {"deaf": listener.getsockname()[1], "closed": closed}


@pytest.mark.parametrize(("name", "words"), [("closed", "refused"), ("deaf", "no answer in time")])
def test_an_mlflow_server_that_is_not_there_is_noticed_before_the_first_step(
    name: str, words: str, ports: dict[str, int], train: Run, tmp_path: Path
) -> None:
    import mlflow  # noqa: F401  # start-up is not what is timed

    uri = f"http://127.0.0.1:{ports[name]}"
    started = time.monotonic()
    done = train("--tracking-uri", uri, tracking__backend="mlflow")
    assert time.monotonic() - started < 15, "8 s of patience"
    assert done.returncode == 4
    assert f"MLflow at {uri} cannot be used" in done.stderr
    assert words in done.stderr
    for way in (f"mlflow server --port {ports[name]}", "sqlite:///", "tracking.backend=none"):
        assert way in done.stderr
    assert "dark on light" not in done.stderr, "before the images are read"
    assert not (tmp_path / "run").exists()


# --- Ctrl-C while classifying


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_while_classifying(
    tiny_bundle: Path, tmp_path: Path, draw: Callable[[Path, int], Path]
) -> None:
    for n in range(60):
        draw(tmp_path / "in" / f"{n:02}.png", n)
    manifest = tmp_path / "m.csv"
    rows = [f"{n},in/{n % 60:02}.png,CAM2" for n in range(20_000)]
    manifest.write_text("\n".join(["object_id,image,instrument", *rows]) + "\n")
    words = [sys.executable, "-m", "plankton_da", "classify", str(tiny_bundle), "m.csv"]
    words += ["--out", "P.csv", "--engine", "onnx"]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A background job of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        while len(list(tmp_path.glob("P.csv.parts/part-*"))) < 2:  # the first is a small one
            assert running.poll() is None
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert "interrupted; finished work is kept: the same command continues" in err
    assert "Traceback" not in err
    assert not (tmp_path / "P.csv").exists()
    done = subprocess.run([*words, "--json"], cwd=tmp_path, capture_output=True, check=True)
    document = json.loads(done.stdout)
    assert document["images"] == document["classified"] + document["reused"] == 20_000
    assert document["reused"] > 2000


def test_two_processes_never_train_in_one_folder(train: Run, own_run: Path) -> None:
    (own_run / "result.json").unlink()  # it is not finished
    folder = RunFolder(own_run)
    folder.lock()
    done = train("--resume")
    assert done.returncode == 2
    assert f"another process is writing it ({socket.gethostname()}, process {os.getpid()})" in (
        done.stderr
    )
    assert "give another output_dir: --set output_dir=..." in done.stderr
    folder.unlock()
    assert train("--resume").returncode == 0
