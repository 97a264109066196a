from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from plankton_da.evaluation.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, fit_temperature


def _nll(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    log_p = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    spread = 1 / (len(labels) + 2)
    wanted = (1 - spread) * np.eye(logits.shape[1])[labels] + spread / logits.shape[1]
    return float(-(wanted * log_p).sum(axis=1).mean())


def _sample(n: int, temperature: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits whose right temperature is known: labels are drawn from softmax(logits / T)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, 5))
    noisy = logits / temperature + rng.gumbel(size=logits.shape)
    return logits, noisy.argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5, 6.0])
def test_recovers_the_temperature_that_made_the_labels(temperature: float) -> None:
    assert fit_temperature(*_sample(40_000, temperature, 0)) == pytest.approx(temperature, rel=0.04)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_temperature_is_likelier(seed: int) -> None:
    logits, labels = _sample(60, 1.7, seed)
    best = fit_temperature(logits, labels)
    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 400)
    assert _nll(logits, labels, best) <= min(_nll(logits, labels, t) for t in grid) + 1e-12


def test_scaling_the_logits_scales_the_temperature() -> None:
    logits, labels = _sample(500, 1.5, 1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels))


def test_shifting_a_row_changes_nothing() -> None:
    logits, labels = _sample(500, 1.5, 1)
    shifts = np.random.default_rng(0).normal(0, 50, (500, 1))
    assert fit_temperature(logits + shifts, labels) == pytest.approx(
        fit_temperature(logits, labels)
    )


def test_a_small_set_without_error_gives_no_certainty() -> None:
    # 4 rows: the truth is worth 1 - 1/6 + 1/6/4 = 0.875 = e^x / (e^x + 3), so e^x = 21, x = 3/T
    assert fit_temperature(3 * np.eye(4), np.arange(4)) == pytest.approx(3 / np.log(21))


def test_bounds() -> None:
    confident = 100 * np.eye(4)
    assert fit_temperature(confident, (np.arange(4) + 1) % 4) == MAX_TEMPERATURE
    timid = 0.01 * np.eye(4)
    assert fit_temperature(timid, np.arange(4)) == MIN_TEMPERATURE


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 3)), np.zeros(0, int)),
        (np.zeros((5, 3)), np.zeros(5, int)),
        (np.full((2, 3), np.nan), np.zeros(2, int)),
        (np.ones((4, 1)), np.zeros(4, int)),
    ],
    ids=["no_rows", "all_equal", "not_finite", "one_class"],
)
def test_data_that_say_nothing_leave_the_logits_alone(
    logits: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    assert fit_temperature(logits, labels) == 1.0


def test_huge_float32_logits_do_not_overflow() -> None:
    logits, labels = _sample(200, 1.0, 0)
    assert fit_temperature((1e30 * logits).astype(np.float32), labels) == MAX_TEMPERATURE


def test_rows_that_are_not_finite_are_left_out() -> None:
    logits, labels = _sample(200, 2.0, 0)
    broken = np.vstack([logits, np.full((1, 5), np.inf)])
    assert fit_temperature(broken, np.append(labels, 0)) == fit_temperature(logits, labels)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [(np.zeros((2, 3)), [0]), (np.zeros(3), [0, 1, 2]), (np.eye(3), [0, 1, 3])],
)
def test_what_does_not_fit_is_refused(logits: NDArray[np.float64], labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected logits|labels must"):
        fit_temperature(logits, labels)
