"""The model that MLflow loads and serves. MLflow runs this file; nobody imports it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

if TYPE_CHECKING:
    from plankton_da.prediction.inputs import Item
    from plankton_da.prediction.predictor import Predictor


_SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"  # set by MLflow's server, whose JSON has no NaN


class PlanktonModel(PythonModel):
    """A bundle behind MLflow's ``predict``."""

    _predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle, which holds no code."""
        from plankton_da.prediction.predictor import Predictor

        self._predictor = Predictor.open(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """One row of predictions per row of ``model_input``, in its order.

        ``model_input`` has a column ``image`` (refs: absolute, or relative to the working
        directory) or ``binary`` (bytes of image files, which go before ``image``), and may have
        ``object_id`` and ``instrument``. ``params["instrument"]`` is the instrument of rows that
        name none, by default the bundle's target. An image that cannot be read is a row with
        ``error`` and without scores: NaN, or null in what ``mlflow models serve`` answers.

        Raises
        ------
        DataError
            Neither column is there, or an instrument is unknown to the bundle.
        """
        import numpy as np

        from plankton_da.prediction.pipeline import classify_items
        from plankton_da.prediction.predictions import prediction_rows

        predictor = self._predictor
        items = self._items(model_input, (params or {}).get("instrument"))
        with tempfile.TemporaryDirectory(prefix="plankton_da-") as folder:
            opened = _with_files(items, model_input, Path(folder))
            batches = list(classify_items(opened, predictor, Path()))
        none = np.empty((0, len(predictor.classes)), np.float32)
        rows = prediction_rows(
            [item.object_id for item in items],
            [item.image for item in items],
            [item.instrument for item in items],
            np.concatenate([none, *(batch.probabilities for batch in batches)]),
            [error for batch in batches for error in batch.errors],
            predictor.classes,
            predictor.info.thresholds,
        )
        return _with_nulls(rows) if os.environ.get(_SERVED) == "true" else rows

    def _items(self, model_input: pd.DataFrame, instrument: str | None) -> list[Item]:
        from plankton_da.errors import DataError, ImageError
        from plankton_da.prediction.inputs import Item

        if "image" not in model_input and "binary" not in model_input:
            raise DataError(
                "expected a column image (paths) or binary (bytes of image files); found "
                f"{', '.join(map(str, model_input.columns)) or 'none'}"
            )
        images = _texts(model_input, "image")
        names = _texts(model_input, "object_id")
        instruments = _texts(model_input, "instrument")
        default = instrument or self._predictor.default_instrument
        for name in sorted({name or default for name in instruments}):
            self._predictor.preprocess.look(name)
        there = [*map(bool, images)]
        if "binary" in model_input:
            there = [a or b for a, b in zip(there, model_input["binary"].notna(), strict=True)]
        return [
            Item(
                object_id=names[row] or images[row] or str(row),
                image=images[row],
                instrument=instruments[row] or default,
                size=-1,
                stamp=0,
                problem=None if there[row] else ImageError("missing", "neither path nor bytes"),
                source=0,
                row=row,
            )
            for row in range(len(model_input))
        ]


def _with_files(items: list[Item], model_input: pd.DataFrame, folder: Path) -> Iterator[Item]:
    """The items, with a file in ``folder`` for each image that came as bytes."""
    contents = model_input["binary"] if "binary" in model_input else [None] * len(items)
    for row, (item, content) in enumerate(zip(items, contents, strict=True)):
        if isinstance(content, bytes):
            file = folder / str(row)
            file.write_bytes(content)
            yield replace(item, image=str(file))
        else:
            yield item


def _with_nulls(rows: pd.DataFrame) -> pd.DataFrame:
    for name in ("score", "raw_score"):
        rows[name] = rows[name].astype(object).where(rows[name].notna(), None)
    return rows


def _texts(model_input: pd.DataFrame, column: str) -> list[str]:
    if column not in model_input:
        return [""] * len(model_input)
    return [str(value) for value in model_input[column].fillna("")]


mlflow.models.set_model(PlanktonModel())
