"""An MLflow server or database: whether it answers, and how it fails."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from plankton_da.errors import OutputError, TrackingError
from plankton_da.tracking.database import PROBE_SECONDS as PROBE_SECONDS
from plankton_da.tracking.database import check_database
from plankton_da.tracking.uris import DEFAULT_URI, is_database, redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout carries our JSON
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # the user's own uv.lock is not the model's
    "GIT_PYTHON_REFRESH": "quiet",
}
_NOISY_LOGGERS = ("mlflow", "alembic")
_NETWORK_FAILURES = {
    r"Connection refused|actively refused": "nothing listens there (connection refused)",
    r"timed out|timeout exception": "no answer in time",
    r"Failed to resolve|Name or service not known|getaddrinfo failed": "no such host",
}


def connect(uri: str) -> MlflowClient:
    """A client of the server at ``uri``, which has answered.

    Raises
    ------
    TrackingError
        The server does not answer within seconds, or refuses; the database is of another MLflow's
        schema.
    """
    prepare_environment()
    with talking_to(uri):
        from mlflow import MlflowClient

        if is_database(uri):
            check_database(uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        with impatient():
            client.search_experiments(max_results=1)
    return client


def prepare_environment() -> None:
    """Keep MLflow from telemetry and chatter, unless the user asked for it; call before import."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def talking_to(uri: str) -> Iterator[None]:
    """Run MLflow calls without their log lines and warnings; turn their failures into ours.

    Raises
    ------
    TrackingError
        MLflow, the network or the database fails.
    OutputError
        A file cannot be written (disk full, no permission).
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _quiet():
            yield
    except (MlflowException, RequestException, SQLAlchemyError, ImportError) as error:
        raise TrackingError(explain(uri, error)) from error
    except OSError as error:
        where = error.filename or redact(uri)
        raise OutputError(
            f"{where}: cannot be written for MLflow at {redact(uri)}: {error.strerror or error}; "
            "make room or permit writing there, or set tracking.backend: none"
        ) from error


@contextlib.contextmanager
def as_default(uri: str) -> Iterator[None]:
    """MLflow's global tracking and registry URI for a while, and then what they were before.

    MLflow logs models by them, and looks models up by them even when a client has its own.
    """
    import mlflow

    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")  # MLflow's setters write them too
    with _environment(dict.fromkeys(names)):
        default = mlflow.get_tracking_uri()
        tracking = default if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]  # MLflow's
        registry = mlflow.get_registry_uri()
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(tracking)  # type: ignore[arg-type]  # None means unset
            mlflow.set_registry_uri(registry if registry != default else "")


def explain(uri: str, error: Exception) -> str:
    """What happened at ``uri`` and the ways out, in one message."""
    words = redact(_in_short(error))
    if isinstance(error, ImportError):
        ways = "install the missing package into this environment"
    elif re.search(r"\b401\b|\b403\b|UNAUTHENTICATED|PERMISSION_DENIED|Forbidden", words):
        ways = (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; "
            "on macOS port 5000 belongs to AirPlay, so start MLflow on another port"
        )
    elif is_database(uri) and "disk is full" in words:
        ways = "make room there, or name a database on another disk with tracking.uri"
    elif is_database(uri):
        ways = (
            "repair or move the database, or name another one with tracking.uri or --tracking-uri"
        )
    elif uri.startswith(("http://", "https://")):
        ways = f"start it (mlflow server --port {_port(uri)}) or correct the address"
    else:
        ways = f"use a database such as {DEFAULT_URI} or the address of a server"
    return (
        f"MLflow at {redact(uri)} cannot be used: {words}\n"
        f"Ways out: {ways}; leave tracking.uri and MLFLOW_TRACKING_URI unset to use {DEFAULT_URI} "
        "in the working directory; or train without MLflow (--set tracking.backend=none)"
    )


def _in_short(error: Exception) -> str:
    text = str(error).strip()
    for pattern, words in _NETWORK_FAILURES.items():
        if re.search(pattern, text):
            return words
    return text.splitlines()[0] if text else type(error).__name__


def _port(uri: str) -> str:
    found = re.match(r"https?://[^/]*:(\d+)(?:/|$)", uri)
    return found.group(1) if found else "5000"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    wanted = "MLFLOW_LOGGING_LEVEL" in os.environ
    loggers = [] if wanted else [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logging.ERROR, logger.level))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def impatient() -> contextlib.AbstractContextManager[None]:
    """One attempt of some seconds for HTTP calls, where MLflow would try for four minutes."""
    return _environment(
        {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PROBE_SECONDS),
        }
    )


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Environment variables for a while; None: not set."""
    before = {name: os.environ.get(name) for name in wanted}
    _set_environment(wanted)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(wanted: Mapping[str, str | None]) -> None:
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
