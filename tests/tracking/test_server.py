"""Servers and databases that cannot be used say so quickly, with the ways out."""

from __future__ import annotations

import http.server
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from plankton_da.config import TrackingConfig
from plankton_da.errors import OutputError, TrackingError
from plankton_da.tracking import server
from plankton_da.tracking.runs import start_run
from plankton_da.tracking.uris import redact, tracking_uri


def refusal(uri: str) -> str:
    """The message of the error that opening a run at ``uri`` ends in."""
    with pytest.raises(TrackingError) as caught:
        start_run(TrackingConfig(uri=uri), name="dann")
    return str(caught.value)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class _Forbidding(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def forbidding_port() -> Iterator[int]:
    """A port on which something answers 403 to everything, as AirPlay does on port 5000."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Forbidding) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield listener.server_port
        listener.shutdown()
        thread.join()


def test_absent_server_is_named_at_once_with_the_ways_out() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    message = refusal(f"http://127.0.0.1:{port}")
    assert time.monotonic() - started < 10
    assert f"http://127.0.0.1:{port} cannot be used: nothing listens there" in message
    assert f"mlflow server --port {port}" in message
    assert "sqlite:///mlflow.db" in message
    assert "tracking.backend=none" in message


def test_deaf_server_is_given_up_within_seconds(
    deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.PROBE_SECONDS < 10
    monkeypatch.setattr(server, "PROBE_SECONDS", 1)
    started = time.monotonic()
    message = refusal(f"http://127.0.0.1:{deaf_port}")
    assert time.monotonic() - started < 4
    assert "no answer in time" in message
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_forbidding_server_names_the_credentials(forbidding_port: int) -> None:
    message = refusal(f"http://lab:secret@127.0.0.1:{forbidding_port}")
    assert "MLFLOW_TRACKING_TOKEN" in message
    assert "AirPlay" in message
    assert "secret" not in message
    assert "lab:***@127.0.0.1" in message


@pytest.mark.parametrize(
    ("revision", "expected"),
    [("451aebb31d03", "mlflow db upgrade sqlite:///"), ("ffffffffffff", "of a newer MLflow")],
    ids=["older", "newer"],
)
def test_database_of_another_mlflow_is_left_alone(lab: Path, revision: str, expected: str) -> None:
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("update alembic_version set version_num = ?", (revision,))
        database.execute("drop table jobs")  # an older schema lacks tables: MLflow would migrate
        database.commit()
    before = Path("mlflow.db").read_bytes()
    message = refusal("sqlite:///mlflow.db")
    assert expected in message
    assert f"its schema {revision}" in message
    assert Path("mlflow.db").read_bytes() == before


def test_database_of_something_else_is_left_alone(lab: Path) -> None:
    with closing(sqlite3.connect("cruise.db")) as database:
        database.execute("create table stations (id)")
        database.commit()
    before = Path("cruise.db").read_bytes()
    assert "of something else than MLflow" in refusal("sqlite:///cruise.db")
    assert Path("cruise.db").read_bytes() == before


def test_file_that_is_no_database(lab: Path) -> None:
    Path("notes.db").write_text("station 12, net 3\n" * 100)
    message = refusal("sqlite:///notes.db")
    assert "file is not a database" in message
    assert "--tracking-uri" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="permit writing there"):
        start_run(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"), name="dann")


def test_database_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match=r"/a'?: cannot be written"):
        start_run(TrackingConfig(uri=f"sqlite:///{tmp_path}/a/mlflow.db"), name="dann")


def test_artifacts_that_cannot_be_written(lab: Path) -> None:
    run = start_run(TrackingConfig(), name="dann")
    (lab / "mlartifacts").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=r"mlartifacts.*make room or permit writing there"):
        run.log_bytes(b"x", "a.txt")


def test_missing_database_driver(lab: Path) -> None:
    message = refusal("postgresql+nosuchdriver://lab:secret@127.0.0.1/mlflow")
    assert "secret" not in message
    assert "nosuchdriver" in message


def test_file_store_is_answered_with_a_database(lab: Path) -> None:
    message = refusal("./mlruns")
    assert "use a database such as sqlite:///mlflow.db" in message


def test_uri_and_secrets(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri() == f"sqlite:///{lab}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert tracking_uri() == "http://server:5000"
    assert tracking_uri("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"
    assert redact("mysql://u:p@h/db") == "mysql://u:***@h/db"
    assert redact("http://server:5000/a@b") == "http://server:5000/a@b"


@pytest.mark.parametrize(("chosen", "used"), [(None, "true"), ("false", "false")])
def test_telemetry_is_off_unless_the_user_wants_it(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, used: str
) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    if chosen is not None:
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", chosen)
    server.prepare_environment()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == used
