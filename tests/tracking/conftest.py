"""An MLflow database and a registered model made once, and a copy for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plankton_da.config import ModelConfig
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.bundle import Bundle, BundleInfo, write_bundle
from plankton_da.networks.classifier import build_network
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
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two classes with random weights; whatever it says, it says by chance."""
    preprocess = Preprocess(
        image_size=32,
        instruments={
            "ISIIS": InstrumentLook(),
            "PWSPC": InstrumentLook(invert=True, polarity="light_on_dark"),
        },
    )
    info = BundleInfo(
        backbone="test_resnet",
        bottleneck_dim=16,
        batch_norm="per_domain",
        classes=("copepod", "medusa"),
        preprocess=preprocess,
        preprocess_hash=preprocess.hash(),
        method="dann",
        mid_instruments=("ISIIS",),
        target_instruments=("PWSPC",),
        git_commit="c0ffee",
    )
    network = build_network(
        ModelConfig(backbone="test_resnet", pretrained="none", bottleneck_dim=16),
        len(info.classes),
        preprocess=preprocess,
        domains=info.domains,
        batch_norm="per_domain",
    )
    folder = tmp_path_factory.mktemp("trained") / "my bundle"
    write_bundle(Bundle(info, network.eval()), folder, onnx=False)
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
