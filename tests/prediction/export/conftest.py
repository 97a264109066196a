"""Predictions files as ``classify`` writes them, over drawn images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from plankton_da.manifests.table import write_manifest
from plankton_da.prediction.predictions import COLUMNS

Draw = Callable[[Path, int], Path]
Predicted = Callable[..., Path]

RUN = {"bundle": "models:/zoo@champion", "options": {"model": "0123456789abcdef" * 4}}


@pytest.fixture
def predicted(tmp_path: Path, draw: Draw) -> Predicted:
    """``predicted(rows, **columns)`` draws the images and writes ``P.csv`` and ``P.run.json``.

    A row names object_id and image; what it leaves out of a prediction is filled in. ``columns``
    are further columns.
    """

    def make(
        rows: Sequence[Mapping[str, str]], run: Mapping[str, object] | None = RUN, **columns: object
    ) -> Path:
        filled = []
        for number, row in enumerate(rows):
            row = {"image": row["object_id"], "instrument": "CAM1", "error": "", **row}
            if not row["error"]:
                row = {"label": "copepod", "score": "0.75", **row}
                row = {"raw_label": row["label"], "raw_score": row["score"], **row}
                path = tmp_path / row["image"]
                if "!" not in row["image"] and "#" not in row["image"] and not path.exists():
                    draw(path, number)
            filled.append(row)
        table = pd.DataFrame(filled).fillna("")
        lacking = {name: "" for name in COLUMNS if name not in table}
        table = table.assign(**lacking, **columns)
        others = [name for name in table.columns if name not in COLUMNS]
        path = tmp_path / "P.csv"
        write_manifest(table[[*COLUMNS, *others]], path, overwrite=True)
        if run is not None:
            path.with_suffix(".run.json").write_text(json.dumps(run))
        return path

    return make
