"""A database that MLflow keeps its records in: its schema fits, or it is made new."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from plankton_da.errors import TrackingError
from plankton_da.tracking.uris import redact, sqlite_file

PROBE_SECONDS = 8


def check_database(uri: str) -> None:
    """Connect once, and compare the schema before MLflow would migrate an older one unasked."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.pool import NullPool

    database = sqlite_file(uri)
    if database is not None and not database.exists():
        _create_sqlite(database)
        return
    seconds = "connect_timeout" if uri.startswith(("postgresql", "mysql")) else "timeout"
    engine = create_engine(uri, poolclass=NullPool, connect_args={seconds: PROBE_SECONDS})
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        tables = inspect(connection).get_table_names()
    import mlflow

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    head = scripts.get_current_head()
    if found == head or not tables:
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if found is None:
        words = "it is a database of something else than MLflow"
        way = "name another one with tracking.uri, --tracking-uri or MLFLOW_TRACKING_URI"
    elif found in known:
        words = f"its schema {found} is of an older MLflow than the installed {mlflow.__version__}"
        way = f"make a copy of it, then run: mlflow db upgrade {redact(uri)}"
    else:
        words = f"its schema {found} is of a newer MLflow than the installed {mlflow.__version__}"
        way = "install that MLflow here (pip install --upgrade mlflow), or name another database"
    raise TrackingError(f"MLflow database {redact(uri)}: {words} (schema {head}); {way}")


def _create_sqlite(database: Path) -> None:
    """Build a fresh database under another name first: two runs may start at once, and one that is
    killed half way must not leave half a schema behind."""
    from mlflow import MlflowClient

    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".mlflow-") as folder:
        fresh = Path(folder, "fresh.db")
        MlflowClient(tracking_uri=f"sqlite:///{fresh.as_posix()}").search_experiments(max_results=1)
        with contextlib.suppress(FileExistsError):
            try:
                os.link(fresh, database)  # fails where another run was first
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                if not database.exists():
                    os.replace(fresh, database)
