from __future__ import annotations

import json
import time

import numpy as np
import pytest
from sklearn import metrics as reference

from plankton_da.evaluation.metrics import confusion_matrix, score

CLASSES = ("a", "b", "c", "d")


def _random(n: int, seed: int) -> tuple[list[str], list[str], list[float]]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(["a", "b", "c"], n, p=[0.7, 0.2, 0.1])
    guess = np.where(rng.random(n) < 0.6, truth, rng.choice(CLASSES, n))
    return [str(t) for t in truth], [str(g) for g in guess], list(rng.random(n))


def test_by_hand() -> None:
    labels = ["a", "a", "a", "b", "b", "c"]
    predicted = ["a", "a", "b", "b", "unclassified", "a"]
    scores = score(labels, predicted, [0.9, 0.8, 0.6, 0.7, 0.3, 0.5], CLASSES)
    assert scores["n"] == 6
    assert scores["accuracy"] == pytest.approx(3 / 6)
    assert scores["macro_recall"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores["macro_f1"] == pytest.approx((2 * 2 / (3 + 3) + 2 * 1 / (2 + 2) + 0) / 3)
    assert scores["coverage"] == pytest.approx(5 / 6)
    assert scores["per_class"] == {
        "a": {"n": 3, "recall": pytest.approx(2 / 3), "precision": pytest.approx(2 / 3)},
        "b": {"n": 2, "recall": pytest.approx(1 / 2), "precision": pytest.approx(1 / 2)},
        "c": {"n": 1, "recall": 0.0, "precision": None},
        "d": {"n": 0, "recall": None, "precision": None},
    }
    assert scores["unknown_labels"] == {}


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed: int) -> None:
    labels, predicted, confidence = _random(400, seed)
    scores = score(labels, predicted, confidence, CLASSES)
    present = ["a", "b", "c"]
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    for name, function in (
        ("macro_recall", reference.recall_score),
        ("macro_f1", reference.f1_score),
    ):
        expected = function(labels, predicted, labels=present, average="macro", zero_division=0)
        assert scores[name] == pytest.approx(expected)
    for name in present:
        row = scores["per_class"][name]
        one = {"labels": [name], "average": "macro"}
        assert row["recall"] == pytest.approx(reference.recall_score(labels, predicted, **one))
        precision = reference.precision_score(labels, predicted, **one)
        assert row["precision"] == pytest.approx(precision)
    expected_matrix = reference.confusion_matrix(labels, predicted, labels=list(CLASSES))
    np.testing.assert_array_equal(confusion_matrix(labels, predicted, CLASSES), expected_matrix)


def test_ece_by_hand() -> None:
    # bins (0.6, 0.667]: two rows, one right; (0.933, 1]: one row, right; (0, 0.067]: one wrong
    scores = score(["a"] * 4, ["a", "b", "a", "b"], [0.65, 0.61, 1.0, 0.05], CLASSES)
    assert scores["ece"] == pytest.approx((abs(1 - 1.26) + abs(1 - 1.0) + abs(0 - 0.05)) / 4)


def test_ece_ignores_abstentions_and_edges_belong_to_the_bin_below() -> None:
    with_abstention = score(["a", "a"], ["a", "unclassified"], [0.5, 0.1], CLASSES)
    assert with_abstention["ece"] == pytest.approx(0.5)
    edge = score(["a", "a"], ["a", "b"], [0.2, 0.19], CLASSES)  # 0.2 = 3/15
    assert edge["ece"] == pytest.approx(abs(1 - 0.39) / 2)
    zero = score(["a"], ["b"], [0.0], CLASSES)
    assert zero["ece"] == 0.0


def test_perfectly_calibrated_predictions_have_little_ece() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 50_000)
    guess = np.where(rng.random(50_000) < confidence, "a", "b")
    assert score(["a"] * 50_000, list(guess), confidence, CLASSES)["ece"] < 0.01


def test_unknown_labels_are_counted_and_change_nothing_else() -> None:
    labels, predicted, confidence = _random(100, 1)
    clean = score(labels, predicted, confidence, CLASSES)
    more = score(
        [*labels, "whale", "eel", "whale"], [*predicted, "a", "a", "b"], [*confidence, 1, 1, 1],
        CLASSES,
    )  # fmt: skip
    assert more.pop("unknown_labels") == {"eel": 1, "whale": 2}
    clean.pop("unknown_labels")
    assert more == clean


def test_confusion_matrix_leaves_out_what_is_no_class() -> None:
    matrix = confusion_matrix(["a", "a", "b", "whale"], ["b", "unclassified", "b", "a"], ["a", "b"])
    assert matrix.tolist() == [[0, 1], [0, 1]]


def test_nothing_to_score_is_none_not_nan() -> None:
    scores = score([], [], [], CLASSES)
    assert scores["n"] == 0
    for name in ("accuracy", "macro_recall", "macro_recall_ci", "macro_f1", "ece", "coverage"):
        assert scores[name] is None
    json.dumps(scores, allow_nan=False)


def test_json_ready() -> None:
    text = json.dumps(score(*_random(50, 0), CLASSES), allow_nan=False)
    assert json.loads(text)["n"] == 50


def test_interval_is_a_function_of_the_seed() -> None:
    data = _random(300, 2)
    first = score(*data, CLASSES, seed=1)["macro_recall_ci"]
    assert first == score(*data, CLASSES, seed=1)["macro_recall_ci"]
    assert first != score(*data, CLASSES, seed=2)["macro_recall_ci"]
    assert score(*data, CLASSES, bootstrap=0)["macro_recall_ci"] is None


def test_interval_agrees_with_resampling_row_by_row() -> None:
    labels, predicted, confidence = _random(200, 3)
    low, high = score(labels, predicted, confidence, CLASSES, bootstrap=4000)["macro_recall_ci"]
    rng = np.random.default_rng(9)
    truth = np.array(labels)
    right = truth == np.array(predicted)
    rows = [np.flatnonzero(truth == name) for name in ("a", "b", "c")]
    plain = [
        np.mean([right[rng.choice(row, len(row))].mean() for row in rows]) for _ in range(4000)
    ]
    assert [low, high] == pytest.approx(list(np.quantile(plain, [0.025, 0.975])), abs=0.015)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    recalls, n = np.array([0.9, 0.5, 0.3]), 60
    truth = np.repeat(["a", "b", "c"], n)
    covered = 0
    for repeat in range(300):
        guess = np.where(rng.random(3 * n) < np.repeat(recalls, n), truth, "d")
        low, high = score(truth.tolist(), guess.tolist(), np.ones(3 * n), CLASSES, seed=repeat)[
            "macro_recall_ci"
        ]
        covered += low <= recalls.mean() <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_every_resample_holds_every_class() -> None:
    """One image of class b: a plain bootstrap would lose it in a third of the resamples."""
    labels = ["a"] * 99 + ["b"]
    scores = score(labels, labels, [1.0] * 100, CLASSES)
    assert scores["macro_recall_ci"] == [1.0, 1.0]
    wrong = score(labels, ["a"] * 100, [1.0] * 100, CLASSES)
    assert wrong["macro_recall_ci"] == [0.5, 0.5]


def test_speed() -> None:
    data = _random(10_000, 0)
    start = time.process_time()
    score(*data, CLASSES, bootstrap=1000)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("confidence", [[np.nan], [1.5], [-0.1], [0.5, 0.5]])
def test_impossible_confidence(confidence: list[float]) -> None:
    with pytest.raises(ValueError, match="confidences"):
        score(["a"], ["a"], confidence, CLASSES)
