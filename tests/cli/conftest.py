"""Commands as users give them, on two drawn cameras, with a network that trains in a second."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from plankton_da.cli import run as run_command

Ended = subprocess.CompletedProcess[str]
Rows = list[dict[str, str]]

TINY = {
    "model.backbone": "test_resnet",
    "model.pretrained": "none",
    "model.bottleneck_dim": "16",
    "method.hidden_dim": "16",
    "data.image_size": "32",
    "data.batch_size_per_instrument": "8",
    "data.workers": "0",
    "data.cache": "none",
    "training.steps": "2",
    "training.evaluate_every": "1",
    "training.device": "cpu",
    "training.yardstick": "false",
    "tracking.backend": "none",
    "output_dir": "run",
}


@pytest.fixture(scope="session")
def drawn_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``archive/``, and ``mid.csv`` and ``target.csv`` of it."""
    from plankton_da.demo.archive import write_archive
    from plankton_da.manifests.ingest import IngestOptions, build_manifest

    folder = tmp_path_factory.mktemp("lab")
    archive = write_archive(
        folder / "archive", seed=0, mid_per_class=8, target_images=16, target_test_images=0
    )
    build_manifest("folders", [archive.mid], "SHADOW", folder / "mid.csv")
    build_manifest(
        "folders",
        [archive.target_pool],
        "DARK",
        folder / "target.csv",
        options=IngestOptions(labelled=False),
    )
    return folder


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """``command("manifest", "check", "m.csv")`` in ``tmp_path``, never with a traceback."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ended:
        words = ["plankton-da", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command()
        captured = capsys.readouterr()
        return Ended(words, int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Ended]:
    """The same in a process of its own."""

    def run(*arguments: object, program: Sequence[str] = (), **environment: str) -> Ended:
        return subprocess.run(
            [*program, sys.executable, "-m", "plankton_da", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def train_words(tmp_path: Path, drawn_lab: Path) -> Callable[..., list[str]]:
    """The words of a ``train`` command: ``train_words("--resume", data__mid="other.csv")``."""
    from plankton_da.config_text import config_text, write_config

    mid, target = (str(drawn_lab / f"{name}.csv") for name in ("mid", "target"))
    write_config(
        config_text("dann", mid=(mid,), target=(target,)), tmp_path / "dann.yaml", overwrite=True
    )

    def words(*options: str, **settings: object) -> list[str]:
        keys = TINY | {name.replace("__", "."): str(value) for name, value in settings.items()}
        sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
        return ["train", "dann.yaml", *sets, *options]

    return words


@pytest.fixture
def train(
    command: Callable[..., Ended], train_words: Callable[..., list[str]]
) -> Callable[..., Ended]:
    """``train("--resume", data__mid="other.csv")`` to its end or its error."""

    def run(*options: str, **settings: object) -> Ended:
        return command(*train_words(*options, **settings))

    return run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, drawn_lab: Path) -> Path:
    """The output_dir of a run with the settings of ``train()``; only to be copied."""
    from plankton_da.adaptation.training import train as run_training
    from plankton_da.config_reading import load_config
    from plankton_da.config_text import config_text, write_config

    folder = tmp_path_factory.mktemp("finished")
    mid, target = (str(drawn_lab / f"{name}.csv") for name in ("mid", "target"))
    write_config(config_text("dann", mid=(mid,), target=(target,)), folder / "dann.yaml")
    settings = TINY | {"output_dir": str(folder / "run")}
    run_training(
        load_config(folder / "dann.yaml", [f"{key}={value}" for key, value in settings.items()])
    )
    return folder / "run"


@pytest.fixture
def own_run(tmp_path: Path, finished_run: Path) -> Path:
    """A copy of the finished run, where ``train()`` looks for it."""
    shutil.copytree(finished_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def rows_of(drawn_lab: Path) -> Callable[[str], Rows]:
    """The rows of ``mid`` or ``target`` with absolute refs, to be spoilt."""

    def read(name: str) -> Rows:
        with (drawn_lab / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return [{**row, "image": str(drawn_lab / row["image"])} for row in csv.DictReader(file)]

    return read


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[[str, Rows], Path]:
    """Writes rows as a manifest in ``tmp_path``."""

    def write(name: str, rows: Rows) -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write
