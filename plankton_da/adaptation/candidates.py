"""What finished runs leave behind for a choice among them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plankton_da.adaptation.scoring import Predictions
from plankton_da.errors import DataError, OutputError

_PREDICTIONS = "target_predictions.parquet"
_HISTORY = "history.json"
_KEY = ["instrument", "object_id"]


@dataclass(frozen=True)
class Candidate:
    """The chosen checkpoint of one finished run."""

    run: str
    """its output_dir"""
    method: str
    seed: int
    step: int
    entry: dict[str, Any]
    """fields of ``Scores`` that a choice may look at, and its oracle's, which none may"""
    target: pd.DataFrame
    """index (instrument, object_id), one column per class: the target's images, unlabelled"""


def keep_target_predictions(folder: Path, target: Predictions, classes: tuple[str, ...]) -> None:
    """Write the probabilities of the target's unlabelled images; there is no label in them.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    rows = target.images.table.iloc[target.rows][_KEY].reset_index(drop=True)
    table = pd.concat([rows, pd.DataFrame(target.probabilities, columns=list(classes))], axis=1)
    path = folder / _PREDICTIONS
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        table.to_parquet(temporary, index=False)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; make room, and continue with "
            f"--resume"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_candidate(folder: Path) -> Candidate:
    """Read the output_dir of a finished run.

    Raises
    ------
    DataError
        There is no finished run, or its files are damaged.
    """
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]
        history = json.loads((folder / _HISTORY).read_text(encoding="utf-8"))
        step = result["selected_step"]
        entry = next(entry for entry in history if entry["step"] == step)
        target = pd.read_parquet(folder / _PREDICTIONS).set_index(_KEY)
        return Candidate(str(folder), config["method"]["name"], config["seed"], step, entry, target)
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise DataError(
            f"{folder}: no finished run ({missing} is not there); give the output_dir of one, or "
            f"finish it: plankton-da train CONFIG --resume"
        ) from None
    except (OSError, ValueError, KeyError, StopIteration, TypeError) as error:
        raise DataError(f"{folder}: its files are damaged: {error}") from error


def agreement(candidates: list[Candidate]) -> NDArray[np.float64]:
    """EnsV: share of the target's images that each places as the mean of all does, (N,).

    Source: Hu et al., "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An
    Empirical Study and A Certified Baseline", NeurIPS 2024.

    Raises
    ------
    DataError
        The runs have other classes, or no target image in common.
    """
    classes = list(candidates[0].target.columns)
    rows = candidates[0].target.index
    for candidate in candidates[1:]:
        if sorted(candidate.target.columns) != sorted(classes):
            raise DataError(
                f"{candidate.run} has other classes than {candidates[0].run}; only runs for the "
                f"same classes can be compared"
            )
        rows = rows.intersection(candidate.target.index)
    if not len(rows):
        raise DataError("the runs have no target image in common; they adapted to other cameras")
    probabilities = np.stack(
        [candidate.target.loc[rows, classes].to_numpy() for candidate in candidates]
    )  # (candidates, images, K)
    together = probabilities.mean(0).argmax(1)
    agreed: NDArray[np.float64] = (probabilities.argmax(2) == together).mean(1)
    return agreed
