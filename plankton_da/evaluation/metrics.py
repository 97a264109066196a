"""How good labels are: accuracy, macro recall with its interval, macro F1, ECE, coverage.

Everything is a plain dict that JSON can hold; a number that the data do not define is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ECE_BINS = 15
_INTERVAL = (0.025, 0.975)

Counts = NDArray[np.int64]


def score(
    labels: Sequence[str],
    predicted: Sequence[str],
    confidence: ArrayLike,
    classes: Sequence[str],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of N predictions against their true labels.

    A prediction that is no class (``unclassified``) counts as wrong and lowers ``coverage``. Rows
    whose true label is no class are counted under ``unknown_labels`` and kept out of the rest.

    - ``macro_recall``, ``macro_f1``: means over the classes with n > 0.
    - ``macro_recall_ci``: 95% percentile bootstrap, stratified by class: every resample has each
      class as often as the data have it, so that none drops out of the mean. The hits of a class of
      n images among n draws are binomial, so each resample is drawn as its counts, not row by row.
      It knows nothing of images that resemble each other (a ``group``), and a class with no error
      at all adds no width: with few images per class it is too narrow.
    - ``ece``: expected calibration error (Guo et al., ICML 2017), 15 equal-width bins, over rows
      that were given a class.

    Parameters
    ----------
    labels, predicted : N names
    confidence : (N,) float in [0, 1], the probability given to ``predicted``
    classes : the K names that the model knows
    bootstrap : resamples; 0 leaves ``macro_recall_ci`` None

    Raises
    ------
    ValueError
        Lengths differ, or a confidence is outside [0, 1] or not a number.
    """
    trust = np.asarray(confidence, dtype=np.float64)
    if not len(labels) == len(predicted) == len(trust) or trust.ndim != 1:
        raise ValueError(
            f"expected as many labels ({len(labels)}) as predictions ({len(predicted)}) and "
            f"confidences {trust.shape}"
        )
    if not ((trust >= 0) & (trust <= 1 + 1e-6)).all():
        raise ValueError("confidences must lie in [0, 1]")
    truth, guess = _indices(labels, classes), _indices(predicted, classes)
    known = truth >= 0
    unknown = Counter(name for name, is_known in zip(labels, known, strict=True) if not is_known)
    truth, guess, trust = truth[known], guess[known], trust[known]

    count = len(classes)
    matrix = _matrix(truth, guess, count)
    n = np.bincount(truth, minlength=count)  # (K,) true
    given = matrix.sum(axis=0)  # (K,) predicted
    hits = np.diagonal(matrix)  # (K,)
    present = n > 0
    recall, precision = _ratio(hits, n), _ratio(hits, given)
    f1 = _ratio(2 * hits, n + given)
    claimed = guess >= 0
    return {
        "n": len(truth),
        "accuracy": _mean(guess == truth),
        "macro_recall": _mean(recall[present]),
        "macro_recall_ci": _bootstrap(hits[present], n[present], bootstrap, seed),
        "macro_f1": _mean(f1[present]),
        "ece": _calibration_error(trust[claimed], (guess == truth)[claimed]),
        "coverage": _mean(claimed),
        "per_class": {
            name: {
                "n": int(n[k]),
                "recall": _number(recall[k]),
                "precision": _number(precision[k]),
            }
            for k, name in enumerate(classes)
        },
        "unknown_labels": dict(sorted(unknown.items())),
    }


def confusion_matrix(
    labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]
) -> Counts:
    """(K, K) int64: row = true class, column = predicted class.

    Rows whose label or prediction is no class are left out.
    """
    return _matrix(_indices(labels, classes), _indices(predicted, classes), len(classes))


def _indices(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.intp]:
    """Position of each name among the classes, -1 where it is none."""
    position = {name: k for k, name in enumerate(classes)}
    return np.array([position.get(name, -1) for name in names], dtype=np.intp)


def _matrix(truth: NDArray[np.intp], guess: NDArray[np.intp], count: int) -> Counts:
    both = (truth >= 0) & (guess >= 0)
    cells = np.bincount(truth[both] * count + guess[both], minlength=count * count)
    return cells.astype(np.int64).reshape(count, count)


def _bootstrap(hits: Counts, n: Counts, resamples: int, seed: int) -> list[float] | None:
    if not len(n) or not resamples:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(n, hits / n, size=(resamples, len(n)))  # (B, classes present)
    low, high = np.quantile((drawn / n).mean(axis=1), _INTERVAL)
    return [float(low), float(high)]


def _calibration_error(trust: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    if not len(trust):
        return None
    bins = np.clip(np.ceil(trust * ECE_BINS).astype(np.intp) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights=right - trust, minlength=ECE_BINS)  # n_bin * (acc - conf)
    return float(np.abs(gaps).sum() / len(trust))


def _ratio(part: Counts, whole: Counts) -> NDArray[np.float64]:
    """part / whole, NaN where whole is 0."""
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
