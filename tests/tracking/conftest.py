"""An MLflow database and a registered model made once, and a copy for each test."""

from __future__ import annotations

import json
import shutil
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
