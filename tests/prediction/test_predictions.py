"""The columns of a prediction."""

from __future__ import annotations

import numpy as np
import pytest

from plankton_da.errors import UsageError
from plankton_da.prediction.predictions import (
    COLUMNS,
    is_score_column,
    prediction_columns,
    prediction_rows,
)

CLASSES = ("copepod", "NA", "medusa")
NAN = float("nan")
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [NAN, NAN, NAN], [0.25, 0.25, 0.5]], np.float32)
ERRORS = ["", "truncated: ends early", ""]


def rows(**options: object):  # type: ignore[no-untyped-def]
    options = {"thresholds": {}, **options}
    return prediction_rows(
        ["a", "b", "c"],
        ["a.jpg", "b.jpg", "c.jpg"],
        ["X"] * 3,
        PROBABILITIES,
        ERRORS,
        CLASSES,
        **options,  # type: ignore[arg-type]
    )


def test_exactly_one_of_label_and_error_is_filled() -> None:
    found = rows()
    assert tuple(found.columns) == COLUMNS
    assert ((found["label"] == "") != (found["error"] == "")).all()
    assert list(found["label"]) == ["copepod", "", "medusa"]
    assert list(found["raw_label"]) == ["copepod", "", "medusa"]
    np.testing.assert_array_equal(found["score"], np.array([0.7, NAN, 0.5], np.float32))
    assert found["score"].dtype == np.float32
    assert list(found["error"]) == ERRORS


def test_below_its_class_threshold_a_label_is_unclassified() -> None:
    found = rows(thresholds={"copepod": 0.9, "medusa": 0.5})
    assert list(found["label"]) == ["unclassified", "", "medusa"]
    assert list(found["raw_label"]) == ["copepod", "", "medusa"]


def test_top_k_ranks_and_ties_go_by_the_order_of_classes() -> None:
    found = rows(top_k=3)
    assert list(found.columns[8:]) == ["label_2", "score_2", "label_3", "score_3"]
    assert list(found["label_2"]) == ["NA", "", "copepod"]
    assert list(found["label_3"]) == ["medusa", "", "NA"]
    np.testing.assert_array_equal(found["score_3"], np.array([0.1, NAN, 0.25], np.float32))


def test_all_scores() -> None:
    found = rows(all_scores=True)
    assert list(found.columns[8:]) == ["p_copepod", "p_NA", "p_medusa"]
    np.testing.assert_array_equal(found[["p_copepod", "p_NA", "p_medusa"]], PROBABILITIES)


def test_columns_are_announced_and_typed() -> None:
    found = rows(top_k=2, all_scores=True)
    assert tuple(found.columns) == prediction_columns(CLASSES, 2, True)
    for name in found.columns:
        assert is_score_column(name) == (found[name].dtype == np.float32), name


def test_no_images() -> None:
    none = np.empty((0, 3), np.float32)
    assert tuple(prediction_rows([], [], [], none, [], CLASSES, {}).columns) == COLUMNS


@pytest.mark.parametrize("top_k", [0, 4])
def test_impossible_top_k(top_k: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 3"):
        rows(top_k=top_k)


def test_an_error_without_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN exactly"):
        prediction_rows(["a"], ["a"], ["X"], PROBABILITIES[:1], ["missing: x"], CLASSES, {})
