"""Which MLflow server or database is meant."""

from __future__ import annotations

import os
import re
from pathlib import Path

DEFAULT_URI = "sqlite:///mlflow.db"


def tracking_uri(explicit: str | None = None) -> str:
    """The first that is set: ``explicit``, ``MLFLOW_TRACKING_URI``, the sqlite default.

    The path of a sqlite database becomes absolute: a process may change its working directory.
    """
    uri = explicit or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    prefix, separator, path = uri.partition(":///")
    relative = prefix.startswith("sqlite") and not Path(path.partition("?")[0]).is_absolute()
    if not relative or path.startswith(":memory:") or "?" in str(Path.cwd()):
        return uri
    return f"{prefix}{separator}{(Path.cwd() / path).as_posix()}"


def redact(text: str) -> str:
    """The text without the password of any URI in it."""
    return re.sub(r"(?<=://)([^/@:\s]*):[^/@\s]*@", r"\1:***@", text)


def is_database(uri: str) -> bool:
    """Whether we talk to a database directly, without a server between."""
    return uri.split(":")[0].split("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite database; None for anything else."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or ":memory:")


def artifact_location(uri: str) -> str | None:
    """Where a new experiment's files go; None where the server decides.

    Beside a sqlite database, so for the default database ``./mlartifacts``; MLflow alone would put
    them into ``./mlruns``. Absolute: a page that is opened from elsewhere finds them.
    """
    if not is_database(uri):
        return None
    database = sqlite_file(uri)
    folder = database.parent if database is not None else Path()
    return (folder.absolute() / "mlartifacts").as_uri()
