"""One training run in MLflow: parameters, metrics, datasets and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from plankton_da.config import TrackingConfig

if TYPE_CHECKING:
    import pandas as pd


class Run(Protocol):
    """What a training loop may tell its tracker. Every method raises TrackingError."""

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None where nothing is tracked."""

    @property
    def tracking_uri(self) -> str | None:
        """The tracking URI in use, without a password; None where nothing is tracked."""

    def log_params(self, flat: Mapping[str, object]) -> None:
        """Record settings as flat ``dotted.key -> value``."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record all numbers of one evaluation in one call."""

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a tag that exists is replaced."""

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Store a file under the artifact folder ``folder``."""

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """Store bytes as the artifact ``artifact_path``, such as ``confusion/PWSPC.png``."""

    def log_folder(self, path: Path, artifact_path: str) -> None:
        """Store a folder's contents under the artifact folder ``artifact_path``."""

    def log_dataset(
        self, table: pd.DataFrame, source: str, name: str, context: str, digest: str | None = None
    ) -> None:
        """Record a manifest as a dataset input of the run."""

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """End the run."""


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
        The server does not answer, refuses, or does not know the run.
    """
    raise NotImplementedError


def metric_key(split: str, instrument: str, metric: str, oracle: bool = False) -> str:
    """``<split>/<instrument>/<metric>`` in MLflow's alphabet; ``oracle/`` before it if so."""
    raise NotImplementedError
