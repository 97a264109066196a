"""The rows that a prediction consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import UsageError
from plankton_da.prediction.abstention import entropy

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COLUMNS = (
    "object_id",
    "image",
    "instrument",
    "label",
    "score",
    "raw_label",
    "raw_score",
    "error",
)
UNCLASSIFIED = "unclassified"


def prediction_columns(
    classes: Sequence[str], top_k: int = 1, all_scores: bool = False
) -> tuple[str, ...]:
    """Names of the columns that ``prediction_rows`` makes, in their order."""
    ranked = [f"{name}_{rank}" for rank in range(2, top_k + 1) for name in ("label", "score")]
    scores = [f"p_{name}" for name in classes] if all_scores else []
    return (*COLUMNS, *ranked, *scores)


def prediction_schema(
    classes: Sequence[str], top_k: int = 1, all_scores: bool = False
) -> pa.Schema:
    """Names and types of ``prediction_columns``: text, and float32 scores."""
    import pyarrow as pa

    names = prediction_columns(classes, top_k, all_scores)
    return pa.schema(
        (name, pa.float32() if is_score_column(name) else pa.string()) for name in names
    )


def score_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns that hold float32."""
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_floating(field.type)]


def is_score_column(name: str) -> bool:
    """Whether a column of ``prediction_rows`` holds a float32 (all others hold text)."""
    return name in ("score", "raw_score") or name.startswith(("score_", "p_"))


def check_top_k(top_k: int, classes: Sequence[str]) -> None:
    """Refuse a ``top_k`` that these classes cannot fill.

    Raises
    ------
    UsageError
        ``top_k`` is below 1 or above the number of classes.
    """
    if not 1 <= top_k <= len(classes):
        raise UsageError(
            f"--top-k {top_k}: this bundle has {len(classes)} classes; "
            f"give a number from 1 to {len(classes)}"
        )


def prediction_rows(
    object_ids: Sequence[str],
    images: Sequence[str],
    instruments: Sequence[str],
    probabilities: NDArray[np.float32],
    errors: Sequence[str],
    classes: Sequence[str],
    thresholds: Mapping[str, float],
    top_k: int = 1,
    all_scores: bool = False,
    entropy_limit: float = float("inf"),
) -> pd.DataFrame:
    """One row per image; exactly one of ``label`` and ``error`` is filled.

    Parameters
    ----------
    probabilities
        float32 (N, K); a row of NaN where the image failed.
    errors
        ``code: words`` for an image that failed, else the empty string.
    thresholds
        class -> least score; below it ``label`` is ``unclassified``. An absent class has none.
    entropy_limit
        nats; where the probabilities' entropy is above it, ``label`` is ``unclassified``.

    Returns
    -------
    DataFrame with the columns of ``prediction_columns``: text, and float32 scores (NaN where
    failed). Equal scores rank in the order of ``classes``.

    Raises
    ------
    UsageError
        ``top_k`` does not fit the number of classes.
    """
    import pandas as pd

    check_top_k(top_k, classes)
    failed = np.array([error != "" for error in errors], dtype=bool)
    if not np.array_equal(failed, np.isnan(probabilities).any(axis=1)):
        raise ValueError("probabilities must be NaN exactly where there is an error")
    names = np.array([*classes, ""], dtype=object)
    ranking = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]  # (N, top_k)
    scores = np.take_along_axis(probabilities, ranking, axis=1)
    ranking[failed] = len(classes)
    raw_label = names[ranking[:, 0]]
    least = np.array([thresholds.get(name, 0.0) for name in classes] + [0.0])[ranking[:, 0]]
    doubtful = scores[:, 0] < least
    if entropy_limit < np.inf:
        doubtful |= entropy(probabilities) > entropy_limit  # NaN: False
    columns: dict[str, object] = {
        "object_id": _text(object_ids),
        "image": _text(images),
        "instrument": _text(instruments),
        "label": _text(np.where(doubtful, UNCLASSIFIED, raw_label)),
        "score": scores[:, 0],
        "raw_label": _text(raw_label),
        "raw_score": scores[:, 0],
        "error": _text(errors),
    }
    for rank in range(2, top_k + 1):
        columns[f"label_{rank}"] = _text(names[ranking[:, rank - 1]])
        columns[f"score_{rank}"] = scores[:, rank - 1]
    if all_scores:
        columns |= {f"p_{name}": probabilities[:, k] for k, name in enumerate(classes)}
    return pd.DataFrame(columns, columns=list(prediction_columns(classes, top_k, all_scores)))


def _text(values: Sequence[str] | NDArray[np.object_]) -> pd.Series[str]:
    import pandas as pd

    return pd.Series(list(values), dtype="str")
