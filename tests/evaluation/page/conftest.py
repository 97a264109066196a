"""Drawn predictions: a table, its images, and the page about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plankton_da.prediction.files import sha256_of
from plankton_da.prediction.predictions import UNCLASSIFIED

Draw = Callable[[Path, int], Path]
EVIL = '<script>document.title = "taken"</script>\n"&\'</details>'
NOT_UTF8 = "caf%E9.png"
LABELS = ("copepod", "medusa", "<img src=x onerror=alert(1)>")


def drawn_table(rows: int, seed: int = 0, labels: tuple[str, ...] = LABELS) -> pd.DataFrame:
    """A predictions table: abstentions, failures, true labels, two instruments, equal scores."""
    rng = np.random.default_rng(seed)
    raw = rng.choice(labels, rows).astype(object)
    score = rng.beta(3, 1, rows).round(2).astype(np.float32)
    failed = rng.random(rows) < 0.1
    label = np.where(score < 0.3, UNCLASSIFIED, raw)
    table = pd.DataFrame(
        {
            "object_id": [f"image_{row}" for row in range(rows)],
            "image": [f"images/{row % 12}.png" for row in range(rows)],
            "instrument": rng.choice(["CAM1", "CAM2"], rows),
            "label": np.where(failed, "", label),
            "score": np.where(failed, np.nan, score).astype(np.float32),
            "raw_label": np.where(failed, "", raw),
            "raw_score": np.where(failed, np.nan, score).astype(np.float32),
            "error": np.where(failed, rng.choice(["truncated: early", "empty_file: 0"], rows), ""),
            "true_label": np.where(rng.random(rows) < 0.2, "", rng.choice(labels, rows)),
        }
    )
    return table.astype({name: "str" for name in table.columns if "score" not in name})


@pytest.fixture
def drawn() -> Callable[..., pd.DataFrame]:
    """``drawn(rows, seed, labels)``."""
    return drawn_table


@pytest.fixture
def predictions(tmp_path: Path, draw: Draw) -> Path:
    """``P.csv`` with 200 rows, two of whose ids are awkward, its images and its ``run.json``."""
    for number in range(12):
        draw(tmp_path / "images" / f"{number}.png", number)
    table = drawn_table(200)
    surest = table["score"].idxmax()
    table.loc[surest, "object_id"] = EVIL
    table.loc[table["score"].drop(surest).idxmin(), "object_id"] = NOT_UTF8
    path = tmp_path / "P.csv"
    table.to_csv(path, index=False)
    run = {
        "bundle": "models:/zoo@champion",
        "options": {"model": "0123456789abcdef" * 4, "engine": "auto"},
        "inputs": ["images"],
        "sha256": sha256_of(path),
        "runs": [
            {
                "engine": "onnx",
                "device": "cpu",
                "started": "2026-05-04T03:02:01+00:00",
                "host": "ship",
                "versions": {"plankton-da": "0.1.0"},
            }
        ],
    }
    path.with_suffix(".run.json").write_text(json.dumps(run))
    return path
