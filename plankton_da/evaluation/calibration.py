"""Temperature scaling (Guo et al., ICML 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
_HALVINGS = 60


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T that minimises the mean negative log likelihood of ``softmax(logits / T)``.

    A share 1/(N+2) of each label is spread evenly over the classes, as Platt (1999) does for two
    classes: without it, a small set on which every row is right would ask for T = 0.
    The likelihood is convex in 1/T, so its slope is bisected: deterministic, no starting point.
    The result lies in [0.05, 20]. Rows with a logit that is not finite are left out; without rows,
    or with logits that say nothing (all equal), T is 1.

    Parameters
    ----------
    logits : (N, K) float, before softmax
    labels : (N,) int in [0, K)

    Raises
    ------
    ValueError
        The shapes do not fit or a label is outside [0, K).
    """
    scores = np.asarray(logits, dtype=np.float64)
    truth = np.asarray(labels)
    if scores.ndim != 2 or truth.shape != scores.shape[:1]:
        raise ValueError(
            f"expected logits (N, K) and labels (N,); got {scores.shape}, {truth.shape}"
        )
    if truth.size and (truth.min() < 0 or truth.max() >= scores.shape[1]):
        raise ValueError(f"labels must lie in [0, {scores.shape[1]})")
    finite = np.isfinite(scores).all(axis=1)
    scores, truth = scores[finite], truth[finite].astype(np.intp)
    if not scores.size or not np.ptp(scores, axis=1).any():
        return 1.0
    scores = scores - scores.max(axis=1, keepdims=True)
    spread = 1 / (len(truth) + 2)
    right = scores[np.arange(len(truth)), truth]
    right = (1 - spread) * right + spread * scores.mean(axis=1)  # (N,)

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if _slope(scores, right, low) >= 0:
        return MAX_TEMPERATURE
    if _slope(scores, right, high) <= 0:
        return MIN_TEMPERATURE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _slope(scores, right, middle) < 0:
            low = middle
        else:
            high = middle
    return float(2 / (low + high))


def _slope(scores: NDArray[np.float64], right: NDArray[np.float64], inverse: float) -> float:
    """d(mean NLL) / d(1/T); scores are (N, K) with row maximum 0."""
    weights = np.exp(scores * inverse)  # (N, K)
    expected = (weights * scores).sum(axis=1) / weights.sum(axis=1)  # (N,)
    return float((expected - right).mean())
