"""Ways to choose images that are worth labelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import UsageError

_CHUNK = 1 << 18  # rows


@dataclass(frozen=True)
class Candidates:
    """Classified images, K classes."""

    labels: NDArray[np.object_]
    """(N,) the best class, whatever the bundle's thresholds"""
    margins: NDArray[np.float64]
    """(N,) best score less second best, or the best score where the second best is not known"""
    scores: NDArray[np.float32] | None
    """(N, K) of every class, where they are known"""
    taken: NDArray[np.bool_]
    """(N,) held by an earlier audit"""


def balanced(candidates: Candidates, images: int, random: np.random.Generator) -> NDArray[np.intp]:
    """As many of each predicted class, at random; what a class lacks is shared by the others."""
    order = random.permutation(np.flatnonzero(~candidates.taken))
    _, codes = np.unique(candidates.labels[order].astype(str), return_inverse=True)
    by_class = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[by_class], codes[by_class])
    round_of = np.empty(len(order), dtype=np.intp)
    round_of[by_class] = np.arange(len(order)) - starts  # the how manieth of its class
    turn = random.permutation(codes.max() + 1)  # who gets more where it does not divide
    return np.asarray(order[np.lexsort((turn[codes], round_of))[:images]], dtype=np.intp)


def uncertain(candidates: Candidates, images: int, random: np.random.Generator) -> NDArray[np.intp]:
    """The smallest margins; of equal ones at random."""
    order = random.permutation(np.flatnonzero(~candidates.taken))
    return np.asarray(
        order[np.argsort(candidates.margins[order], kind="stable")[:images]], dtype=np.intp
    )


def uniform(candidates: Candidates, images: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Every image with the same chance, so that shares in the sample are shares in the target."""
    free = np.flatnonzero(~candidates.taken)
    return np.asarray(random.choice(free, images, replace=False), dtype=np.intp)


def coverage(candidates: Candidates, images: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Each next image is the one whose scores are farthest from those of all chosen ones.

    The distance is Hellinger's; images of earlier audits count as chosen. Source: k-center greedy,
    Sener & Savarese, "Active Learning for Convolutional Neural Networks", ICLR 2018.
    """
    if candidates.scores is None:
        raise UsageError(
            "--strategy coverage compares the scores of all classes; make the predictions with: "
            "plankton-da classify --all-scores"
        )
    points = np.sqrt(candidates.scores)  # (N, K)
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    for row in np.flatnonzero(candidates.taken):
        np.minimum(nearest, _distances(points, points[row]), out=nearest)
    nearest[candidates.taken] = -1
    chosen = np.empty(images, dtype=np.intp)
    for k in range(images):
        nothing_yet = k == 0 and not candidates.taken.any()
        chosen[k] = random.integers(len(points)) if nothing_yet else nearest.argmax()
        np.minimum(nearest, _distances(points, points[chosen[k]]), out=nearest)
        nearest[chosen[k]] = -1
    return chosen


Strategy = Callable[[Candidates, int, np.random.Generator], NDArray[np.intp]]
STRATEGIES: dict[str, Strategy] = {
    "balanced": balanced,
    "uncertain": uncertain,
    "random": uniform,
    "coverage": coverage,
}
"""name -> positions of the images to label; never of images that are taken"""


def _distances(points: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float32]:
    chunks = [
        np.square(points[start : start + _CHUNK] - one).sum(1)
        for start in range(0, len(points), _CHUNK)
    ]
    return np.concatenate(chunks)
