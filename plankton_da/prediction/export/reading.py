"""A predictions file as every export takes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plankton_da.errors import ManifestError
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.problems import Problem
from plankton_da.manifests.reading import RawTable, read_table
from plankton_da.manifests.rules import problems_at, value_problems
from plankton_da.prediction.finish import run_file_of
from plankton_da.prediction.predictions import COLUMNS

BUNDLE_FOLDER = "bundle"
"""what a training run calls the folder of its bundle, which says nothing"""
_ADDRESS = re.compile(r"(models|runs):")
_SCORE = re.compile(r"score|raw_score|score_\d+|p_.*", re.DOTALL)
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The rows of ``classify``, and how they came to be.

    ``table`` has the columns of ``predictions.COLUMNS`` and any others: text ('' for empty), and
    float32 scores from 0 to 1 (NaN for empty). Refs in ``image`` are relative to ``root``.
    """

    table: pd.DataFrame
    root: Path
    path: Path
    run: Mapping[str, Any] = field(default_factory=dict)
    """``P.run.json``; empty where there is none"""

    @property
    def model(self) -> str:
        """The model's name as it may be published; '' where unknown.

        ``models:/NAME/3`` and other addresses as the user gave them; of a folder its own name,
        without those around it, and of one called ``bundle`` the run's that it is in.
        """
        return published_name(
            str(self.run.get("bundle", "")), str(self.run.get("bundle_folder", ""))
        )

    @property
    def model_hash(self) -> str:
        """sha256 of the bundle; '' where unknown."""
        options = self.run.get("options")
        return str(options.get("model", "")) if isinstance(options, Mapping) else ""

    @property
    def finished(self) -> str:
        """When the last part of the run was started (UTC, ISO 8601); '' where unknown."""
        return str(self._last_run.get("started", ""))

    @property
    def version(self) -> str:
        """The version of plankton_da that classified; '' where unknown."""
        versions = self._last_run.get("versions")
        return str(versions.get("plankton-da", "")) if isinstance(versions, Mapping) else ""

    @property
    def _last_run(self) -> Mapping[str, Any]:
        runs = self.run.get("runs")
        last = runs[-1] if isinstance(runs, list) and runs else {}
        return last if isinstance(last, Mapping) else {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes whose scores are all there (``classify --all-scores``), or none."""
        return tuple(name[2:] for name in self.table.columns if name.startswith("p_"))

    def good(self) -> pd.DataFrame:
        """The rows of images that were classified."""
        return self.table[self.table["error"] == ""]

    def failures(self) -> list[tuple[str, str]]:
        """(object_id, error) of the others."""
        failed = self.table[self.table["error"] != ""]
        return list(zip(failed["object_id"].tolist(), failed["error"].tolist(), strict=True))


def published_name(given: str, folder: str) -> str:
    """What a model is called, without where it lies on this machine.

    Parameters
    ----------
    given
        what the user called it: an address such as ``models:/NAME/3``, or a folder
    folder
        its absolute folder, '' where unknown; tells what ``.`` and ``bundle`` are
    """
    if _ADDRESS.match(given):
        return given
    for path in (given, folder):
        names = [name for name in re.split(r"[/\\]", path) if name not in ("", ".")]
        while names and names[-1] == BUNDLE_FOLDER:
            names.pop()
        if names and names[-1] != "..":
            return names[-1]
    return BUNDLE_FOLDER if given else ""


def read_predictions(path: Path) -> Predictions:
    """Read a predictions file (CSV or Parquet) of ``classify``, and its ``run.json``.

    Raises
    ------
    ManifestError
        The file cannot be parsed, lacks a column of a prediction, or rows hold what they must not;
        the message lists every problem with its line.
    """
    raw = read_table(path)
    raw.problems.extend(value_problems(path, raw))
    found = [str(name) for name in raw.table.columns]
    if found:
        raw.problems.add(_missing_columns(path, found))
    if not raw.problems:
        _check_rows(path, raw)
    raw.problems.raise_if_any()
    scores = {name: _numbers(raw.table[name]) for name in found if _SCORE.fullmatch(name)}
    return Predictions(raw.table.assign(**scores), path.absolute().parent, path, read_run(path))


def _missing_columns(path: Path, found: list[str]) -> list[Problem]:
    words = "this column is required and not there; give a file that classify wrote"
    return [
        Problem(str(path), 1, name, "missing_column", words)
        for name in COLUMNS[3:]  # the first three are any manifest's, which has told of them
        if name not in found
    ]


def _check_rows(path: Path, raw: RawTable) -> None:
    table = raw.table
    labelled = np.asarray(table["label"] != "", dtype=bool)
    failed = np.asarray(table["error"] != "", dtype=bool)
    words = "exactly one of label and error must be filled"
    raw.problems.extend(problems_at(path, raw, labelled == failed, "label", "label_error", words))
    for name in table.columns:
        if not _SCORE.fullmatch(name):
            continue
        filled = np.asarray(table[name] != "", dtype=bool)
        number = np.asarray(table[name].str.match(_NUMBER), dtype=bool)
        values = np.full(len(table), np.nan)
        values[number] = table[name][number].astype(float)
        wrong = filled & ~((values >= 0) & (values <= 1))

        def found(row: int, name: str = name) -> str:
            return f"a score is a number from 0 to 1; found {table[name].iloc[row]!r}"

        raw.problems.extend(problems_at(path, raw, wrong, name, "not_a_score", found))


def _numbers(text: pd.Series[str]) -> pd.Series[float]:
    values = np.full(len(text), np.nan, dtype=np.float32)
    filled = np.asarray(text != "", dtype=bool)
    values[filled] = text[filled].astype(float)
    return pd.Series(values, index=text.index, name=text.name)


def read_run(path: Path) -> Mapping[str, Any]:
    """``P.run.json`` of a predictions file; empty where there is none.

    Raises
    ------
    ManifestError
        It is there and cannot be read.
    """
    file = run_file_of(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ManifestError(
            f"{file}: says how {path.name} came to be, and cannot be read: {error}; delete it to "
            f"go on without the model's name"
        ) from None
    return content if isinstance(content, dict) else {}


def score_text(scores: pd.Series[float]) -> pd.Series[str]:
    """Scores (float32) as the shortest text that reads back as the same; '' for NaN."""
    text = scores.to_numpy(dtype=np.float32).astype(str)
    return pd.Series(np.where(text == "nan", "", text), index=scores.index, dtype=TEXT)
