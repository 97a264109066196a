"""A bundle as an MLflow model: models-from-code, nothing pickled."""

from __future__ import annotations

import base64
import contextlib
import importlib.metadata
import io
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plankton_da.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

MODEL_NAME = "model"  # not "bundle": runs:/ID/bundle is the folder that training stored
REQUIREMENTS = (
    "mlflow",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "platformdirs",
    "pydantic",
    "safetensors",
    "timm",
    "torch",
    "torchvision",
)
"""What loading and predicting import; the package's own code travels with the model."""

_EXAMPLE_PNG = base64.b64decode(  # a dark ellipse on a light ground, 24 x 24 pixels
    "iVBORw0KGgoAAAANSUhEUgAAABgAAAAYCAAAAADFHGIkAAAAQElEQVR42mN8xoAdMDEMKQkWOCuMgYGBgWEVho4w"
    "FAohEYamACYRxoBmJEFXrUKIrELVsQpNHGHUKjQFjMMkPgDnDgj9TK7nzgAAAABJRU5ErkJggg=="
)


def log_bundle(
    client: MlflowClient, run_id: str, bundle_folder: Path, info: Mapping[str, Any]
) -> str:
    """Log the bundle as a model of the run, whose status and end stay as they were.

    To be called within ``server.as_default``: MLflow knows no other way to log a model.

    Returns
    -------
    MLflow's id of the logged model.

    Raises
    ------
    RegistryError
        The logged model does not answer its own example.
    """
    import mlflow
    import pandas as pd

    package = Path(__file__).parent.parent
    before = client.get_run(run_id).info
    with (
        tempfile.TemporaryDirectory(prefix="plankton_da-") as staging,
        _captured() as complaints,
    ):
        bundle = Path(staging, "bundle")  # its name in the model, whatever the folder is called
        shutil.copytree(bundle_folder, bundle)
        with mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False):
            logged = mlflow.pyfunc.log_model(
                name=MODEL_NAME,
                python_model=str(package / "tracking" / "pyfunc.py"),
                artifacts={"bundle": str(bundle)},
                code_paths=[str(package)],
                pip_requirements=pinned_requirements(),
                signature=model_signature(info["target_instruments"][0]),
                input_example=pd.DataFrame({"binary": [_EXAMPLE_PNG]}),
            )
    client.set_terminated(run_id, before.status, before.end_time)
    failures = [line for line in complaints if "Failed to validate serving input" in line]
    if failures:
        client.delete_logged_model(logged.model_id)
        cause = failures[0].rpartition("Got error: ")[2]
        raise RegistryError(f"{bundle_folder}: the model cannot be served: {cause}")
    return str(logged.model_id)


def model_signature(instrument: str) -> ModelSignature:
    """Columns in and out, and the parameter ``instrument``, the bundle's target unless set.

    ``image`` (a path) and ``binary`` (the file's bytes) are two ways to give an image.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    texts = ("object_id", "image", "instrument", "label")
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("string", "image", required=False),
        ColSpec("binary", "binary", required=False),
        ColSpec("string", "object_id", required=False),
        ColSpec("string", "instrument", required=False),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        *(ColSpec("string", name) for name in texts),
        ColSpec("float", "score"),
        ColSpec("string", "raw_label"),
        ColSpec("float", "raw_score"),
        ColSpec("string", "error"),
    ]
    return ModelSignature(
        Schema(inputs),
        Schema(outputs),
        ParamSchema([ParamSpec("instrument", "string", instrument)]),
    )


def pinned_requirements() -> list[str]:
    """The installed versions of what the model imports, without local build tags (``+cpu``)."""
    return [
        f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS
    ]


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """What MLflow says while it logs a model, kept off stdout and stderr."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(record.getMessage())

    complaints: list[str] = []
    keep = Keep(logging.WARNING)
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.addHandler(keep)
    logger.setLevel(logging.WARNING)
    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            yield complaints
    finally:
        logger.removeHandler(keep)
        logger.setLevel(level)
