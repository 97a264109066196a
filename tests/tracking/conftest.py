"""An MLflow database and a registered model made once, and a copy for each test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plankton_da.tracking.registry import register
from plankton_da.tracking.server import connect


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{database}")
    return database


@pytest.fixture
def lab(tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an empty mlflow.db, a cache of its own and no MLflow settings."""
    folder = tmp_path / "lab"
    folder.mkdir()
    shutil.copyfile(migrated_database, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle as if a dann run of a committed config had written it."""
    folder = tmp_path_factory.mktemp("trained") / "my bundle"
    shutil.copytree(tiny_bundle, folder)
    info = json.loads((folder / "bundle.json").read_text())
    info |= {"method": "dann", "git_commit": "c0ffee"}
    (folder / "bundle.json").write_text(json.dumps(info))
    return folder


@pytest.fixture(scope="session")
def registered(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, bundle_folder: Path
) -> Path:
    """A folder with mlflow.db and mlartifacts, in which plankton 1 is the candidate."""
    folder = tmp_path_factory.mktemp("registered")
    shutil.copyfile(migrated_database, folder / "mlflow.db")
    register(bundle_folder, "plankton", "candidate", f"sqlite:///{folder}/mlflow.db")
    return folder


@pytest.fixture
def registry(lab: Path, registered: Path) -> Path:
    """The lab, whose registry has plankton 1; the artifacts are shared, so only to be read."""
    shutil.copyfile(registered / "mlflow.db", lab / "mlflow.db")
    return lab


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Starts ``mlflow COMMAND`` on a free port of loopback and gives its address once it answers.

    The servers and all their workers are gone afterwards.
    """
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: str, health: str) -> str:
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
        log = tmp_path / "server.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", *command.split()),
                    *("--host", "127.0.0.1", "--port", str(port)),
                ],
                stdout=output,
                stderr=output,
                env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                start_new_session=True,
            )
        processes.append(process)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}{health}", timeout=5).close()
                return url
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
