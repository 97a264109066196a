"""The experiment that a run belongs to, and the run that is opened again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from plankton_da.errors import TrackingError
from plankton_da.tracking.names import clean_key
from plankton_da.tracking.server import talking_to
from plankton_da.tracking.uris import artifact_location, redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowEntity

log = logging.getLogger(__name__)


def find_or_create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment ``name``, made with artifacts beside a local database if new."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=artifact_location(uri))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # another run was first
    if experiment is None or experiment.lifecycle_stage == "deleted":
        number = experiment.experiment_id if experiment is not None else "?"
        raise TrackingError(
            f"MLflow at {redact(uri)}: the experiment {name!r} is deleted; set another "
            f"tracking.experiment or run: mlflow experiments restore --experiment-id {number}"
        )
    location = artifact_location(uri)
    if location not in (None, experiment.artifact_location):
        log.info("files of experiment %s go to %s", name, experiment.artifact_location)
    return experiment.experiment_id


def reopen(client: MlflowClient, uri: str, run_id: str, tags: Mapping[str, str]) -> MlflowEntity:
    """The run that was interrupted, running again (``TrackingError`` where it is not there)."""
    from mlflow.exceptions import MlflowException

    with talking_to(uri):
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise TrackingError(
                f"MLflow at {redact(uri)} knows no run {run_id}, which this training is to "
                "continue; set tracking.uri to the server that has it, or train anew in another "
                "output_dir"
            ) from None
        if run.info.lifecycle_stage == "deleted":
            raise TrackingError(
                f"MLflow at {redact(uri)}: the run {run_id} is deleted; restore it (mlflow "
                f"runs restore --run-id {run_id}), or train anew in another output_dir"
            )
        client.update_run(run_id, status="RUNNING")
        for key, value in tags.items():
            client.set_tag(run_id, clean_key(key), value)
        return run
