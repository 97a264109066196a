"""Everything over HTTP: a real MLflow server that keeps the artifacts itself."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from plankton_da.config import TrackingConfig
from plankton_da.errors import RegistryError, TrackingError
from plankton_da.tracking.cache import files_hash
from plankton_da.tracking.registry import promote, register, resolve_bundle
from plankton_da.tracking.runs import start_run

StartServer = Callable[[str, str], str]


@pytest.mark.slow
def test_bare_mlflow_ui_shows_the_default_run_and_its_files(
    lab: Path, start_server: StartServer
) -> None:
    run = start_run(TrackingConfig(), name="dann")
    run.log_bytes(b"picture", "confusion/PWSPC.png")
    url = start_server("ui", "/health")
    place = f"run_uuid={run.run_id}&path=confusion/PWSPC.png"
    with urllib.request.urlopen(f"{url}/get-artifact?{place}", timeout=30) as answer:
        assert answer.read() == b"picture"


@pytest.mark.slow
def test_run_and_registry_over_http(
    lab: Path, bundle_folder: Path, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = "--backend-store-uri sqlite:///mlflow.db --artifacts-destination ./served"
    uri = start_server(f"server {store} --workers 1", "/health")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run = start_run(TrackingConfig(), name="dann")
    run.log_params({"seed": 0})
    run.log_metrics({"val/CAM1/accuracy": 0.5}, step=200)
    run.log_dataset(pd.DataFrame({"label": ["copepod"]}), "mid.csv", "mid", "training")
    run.log_folder(bundle_folder, "bundle")
    resumed = start_run(TrackingConfig(), name="dann", run_id=run.run_id)
    resumed.log_metrics({"val/CAM1/accuracy": 0.5}, step=200)
    resumed.finish()

    made = register(f"runs:/{run.run_id}/bundle", "plankton", "candidate")
    assert (made.version, made.aliases) == (1, ("candidate",))
    promote("plankton", 1, "champion")
    for text in ("models:/plankton@champion", "models:/plankton/1", f"runs:/{run.run_id}/bundle"):
        assert files_hash(resolve_bundle(text)) == files_hash(bundle_folder)
    with pytest.raises(RegistryError, match="no model krill; it has plankton"):
        resolve_bundle("models:/krill/1")
    with pytest.raises(RegistryError, match=r"no version 2; it has 1$"):
        promote("plankton", 2, "champion")
    with pytest.raises(RegistryError, match="knows no run"):
        resolve_bundle("runs:/0123456789abcdef/bundle")
    with pytest.raises(TrackingError, match="knows no run"):
        start_run(TrackingConfig(), name="dann", run_id="0123456789abcdef")
    assert not (lab / "mlartifacts").exists()
