"""One training run in MLflow: parameters, metrics, datasets and files."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from plankton_da.config import TrackingConfig
from plankton_da.errors import OutputError, TrackingError
from plankton_da.tracking import server
from plankton_da.tracking.datasets import dataset_input
from plankton_da.tracking.experiments import find_or_create_experiment, reopen
from plankton_da.tracking.names import clean_key
from plankton_da.tracking.names import metric_key as metric_key
from plankton_da.tracking.uris import redact, tracking_uri

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowEntity

Status = Literal["FINISHED", "FAILED", "KILLED"]

MAX_PARAM_LENGTH = 6000  # MLflow's limit, in characters


class Run(Protocol):
    """What a training loop may tell its tracker.

    Every method raises TrackingError where MLflow fails (after its own retries, some minutes for a
    server that went away), and OutputError where a file cannot be written.
    """

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None where nothing is tracked."""

    @property
    def tracking_uri(self) -> str | None:
        """The tracking URI in use, without a password; None where nothing is tracked."""

    def log_params(self, flat: Mapping[str, object]) -> None:
        """Record settings as flat ``dotted.key -> value``.

        A value of more than 6000 characters is cut, and stored whole as ``params/<key>.txt``. A
        setting that the run has with another value keeps it (MLflow never changes one); the new
        value becomes the tag ``resumed_with.<key>``.
        """

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record all numbers of one evaluation in one call.

        In a resumed run a metric that the interrupted process logged at ``step`` already is left as
        it is: a run resumed from a checkpoint computes the same number again.
        """

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a tag that exists is replaced."""

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Store a file under the artifact folder ``folder``, over one of the same name."""

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """Store bytes as the artifact ``artifact_path``, such as ``confusion/PWSPC.png``.

        Characters that a metric's name may not have become ``_``.
        """

    def log_folder(self, path: Path, artifact_path: str) -> None:
        """Store a folder's contents under the artifact folder ``artifact_path``."""

    def log_dataset(
        self, table: pd.DataFrame, source: str, name: str, context: str, digest: str | None = None
    ) -> None:
        """Record a manifest as a dataset input of the run.

        ``context`` is its use (``training``, ``validation``, ``test``); ``digest``, such as a
        manifest's fingerprint, is cut to MLflow's 36 characters and computed over all rows if None.
        """

    def finish(self, status: Status = "FINISHED") -> None:
        """End the run.

        ``FAILED`` and ``KILLED`` never raise and never wait long: what ended the run is the news.
        """


def start_run(
    tracking: TrackingConfig,
    *,
    name: str,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Open a new run, or with ``run_id`` the one that was interrupted.

    Raises
    ------
    TrackingError
        The server does not answer within seconds, refuses, or does not know the run or has it
        deleted.
    OutputError
        The database's folder cannot be written to.
    """
    if tracking.backend == "none":
        return NullRun()
    uri = tracking_uri(tracking.uri)
    client = server.connect(uri)
    if run_id is not None:
        return MlflowRun(client, uri, reopen(client, uri, run_id, tags or {}), resumed=True)
    with server.talking_to(uri):
        from mlflow.tracking.context.registry import resolve_tags

        experiment_id = find_or_create_experiment(client, uri, tracking.experiment)
        return MlflowRun(
            client,
            uri,
            client.create_run(experiment_id, run_name=name, tags=resolve_tags(dict(tags or {}))),
            resumed=False,
        )


def check_tracking(tracking: TrackingConfig) -> None:
    """Make sure that a run could be recorded, before work that would be lost otherwise.

    Raises
    ------
    TrackingError
        The server does not answer within seconds, or refuses.
    OutputError
        The database's folder cannot be written to.
    """
    if tracking.backend != "none":
        server.connect(tracking_uri(tracking.uri))


class MlflowRun:
    """A run in MLflow; see ``Run``."""

    def __init__(self, client: MlflowClient, uri: str, run: MlflowEntity, resumed: bool) -> None:
        self._client = client
        self._uri = uri
        self._id: str = run.info.run_id
        self._params: dict[str, str] = dict(run.data.params)
        self._metrics_before = frozenset(run.data.metrics) if resumed else frozenset[str]()
        self._steps_before: dict[str, frozenset[int]] = {}

    @property
    def run_id(self) -> str:
        return self._id

    @property
    def tracking_uri(self) -> str:
        return redact(self._uri)

    def log_params(self, flat: Mapping[str, object]) -> None:
        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        for name, setting in flat.items():
            key, value = clean_key(name), _param_text(setting)
            if len(value) > MAX_PARAM_LENGTH:
                file = f"params/{key.replace('/', '_')}.txt"
                self.log_bytes(value.encode(), file)
                note = f" ... (cut; whole in artifact {file})"
                value = value[: MAX_PARAM_LENGTH - len(note)] + note
            if self._params.setdefault(key, value) == value:
                params[key] = value
            else:
                tags[clean_key(f"resumed_with.{key}")] = value
        with server.talking_to(self._uri):
            from mlflow.entities import Param

            self._client.log_batch(
                self._id, params=[Param(key, value) for key, value in params.items()]
            )
        self.log_tags(tags)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        with server.talking_to(self._uri):
            from mlflow.entities import Metric

            fresh = [
                Metric(key, float(value), now, step)
                for key, value in ((clean_key(name), value) for name, value in metrics.items())
                if step not in self._logged_before(key)
            ]
            self._client.log_batch(self._id, metrics=fresh)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        if not tags:
            return
        with server.talking_to(self._uri):
            from mlflow.entities import RunTag

            entities = [RunTag(clean_key(key), value) for key, value in tags.items()]
            self._client.log_batch(self._id, tags=entities)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        with server.talking_to(self._uri):
            self._client.log_artifact(self._id, str(path), folder)

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        folder, _, name = clean_key(artifact_path).rpartition("/")
        with tempfile.TemporaryDirectory(prefix="plankton_da-") as temporary:
            file = Path(temporary, name)
            file.write_bytes(data)
            self.log_file(file, folder or None)

    def log_folder(self, path: Path, artifact_path: str) -> None:
        with server.talking_to(self._uri):
            self._client.log_artifacts(self._id, str(path), artifact_path)

    def log_dataset(
        self, table: pd.DataFrame, source: str, name: str, context: str, digest: str | None = None
    ) -> None:
        with server.talking_to(self._uri):
            described = dataset_input(table, source, name, context, digest)
            self._client.log_inputs(self._id, [described])

    def finish(self, status: Status = "FINISHED") -> None:
        hurried = status != "FINISHED"
        with (
            contextlib.suppress(*((TrackingError, OutputError) if hurried else ())),
            server.impatient() if hurried else contextlib.nullcontext(),
            server.talking_to(self._uri),
        ):
            self._client.set_terminated(self._id, status)

    def _logged_before(self, key: str) -> frozenset[int]:
        if key not in self._metrics_before:
            return frozenset()
        if key not in self._steps_before:
            history = self._client.get_metric_history(self._id, key)
            self._steps_before[key] = frozenset(metric.step for metric in history)
        return self._steps_before[key]


class NullRun:
    """Nothing is tracked (``tracking.backend: none``); see ``Run``."""

    run_id = None
    tracking_uri = None

    def log_params(self, flat: Mapping[str, object]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None: ...

    def log_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_file(self, path: Path, folder: str | None = None) -> None: ...

    def log_bytes(self, data: bytes, artifact_path: str) -> None: ...

    def log_folder(self, path: Path, artifact_path: str) -> None: ...

    def log_dataset(
        self, table: pd.DataFrame, source: str, name: str, context: str, digest: str | None = None
    ) -> None: ...

    def finish(self, status: Status = "FINISHED") -> None: ...


def _param_text(setting: object) -> str:
    return setting if isinstance(setting, str) else json.dumps(setting, default=str)
