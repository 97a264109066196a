"""How common each class is in images that nobody has labelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plankton_da.prediction.prior import correct_prior

__all__ = ["TOLERANCE", "correct_prior", "estimate_prior", "presumed_prior"]

TOLERANCE = 1e-7
"""the estimate is there when no share moves by more"""
_MOST_ROUNDS = 10_000


def estimate_prior(
    target_probabilities: ArrayLike, mid_prior: ArrayLike, *, pseudocount: float = 0.0
) -> NDArray[np.float64]:
    """Class shares of the target that make its predictions most likely (MLLS).

    Assumes that a class looks the same on both sides and only its share differs. The likelihood is
    concave in the shares; expectation maximisation climbs it from ``mid_prior``. Rows with a
    probability that is not finite are left out; without rows the estimate is ``mid_prior``.

    Parameters
    ----------
    target_probabilities : (N, K) float
        Calibrated class probabilities of target images; rows sum to 1.
    mid_prior : (K,) float, positive
        Class shares that the probabilities presume: those of the images that the network learnt
        from, as it saw them (all equal where batches were class-balanced), or better what
        ``presumed_prior`` finds. Scaled to sum 1.
    pseudocount
        Images of each class that are counted as if they had been seen as well (a Dirichlet prior):
        above 0 no share is 0, which matters where few images stand behind the estimate.

    Returns
    -------
    (K,) float64, sum 1.

    Raises
    ------
    ValueError
        The shapes do not fit, a prior is not positive, or ``pseudocount`` is negative.

    Source: Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
    Neural Computation 14 (2002), equation 2.9; that calibration decides: Alexandari et al., ICML
    2020.
    """
    probabilities, mid = _checked(target_probabilities, mid_prior)
    if not pseudocount >= 0:
        raise ValueError(f"pseudocount must be 0 or more; got {pseudocount}")
    ratios = probabilities[np.isfinite(probabilities).all(axis=1)] / mid  # (N, K)
    prior = mid
    if not len(ratios):
        return prior
    for _ in range(_MOST_ROUNDS):
        likelihoods = ratios @ prior  # (N,)
        seen = prior * ((1 / likelihoods) @ ratios)  # (K,) images of each class, by expectation
        previous, prior = prior, (seen + pseudocount) / (seen + pseudocount).sum()
        if np.abs(prior - previous).max() < TOLERANCE:
            break
    return prior


def presumed_prior(
    probabilities: ArrayLike, labels: ArrayLike, shares: ArrayLike | None = None
) -> NDArray[np.float64]:
    """The class shares (K,) that a network's probabilities presume, from labelled images.

    It is the mean probability over images in which the classes have the shares that the network
    learnt from. A calibrated network gives ``shares`` back; what it gives instead takes a class
    that it favours into account. Classes without an image count as if they gave their own share.

    Parameters
    ----------
    probabilities : (N, K) float
        Calibrated probabilities of labelled mid images that were not trained on.
    labels : (N,) int in [0, K)
    shares : (K,) float, optional
        Class shares in the training batches; all equal where none are given, as class-balanced
        batches have them.

    Raises
    ------
    ValueError
        The shapes do not fit or a label is outside [0, K).

    Source: Alexandari et al., "Maximum Likelihood With Bias-Corrected Calibration is Hard-To-Beat
    at Label Shift Adaptation", ICML 2020, section 3 (the mean prediction as the source's prior).
    """
    found = np.asarray(probabilities, dtype=np.float64)
    truth = np.asarray(labels)
    if found.ndim != 2 or truth.shape != found.shape[:1]:
        raise ValueError(
            f"expected probabilities (N, K) and labels (N,); got {found.shape}, {truth.shape}"
        )
    classes = found.shape[1]
    if truth.size and (truth.min() < 0 or truth.max() >= classes):
        raise ValueError(f"labels must lie in [0, {classes})")
    _, learnt = _checked(found, np.ones(classes) if shares is None else shares)
    means = np.eye(classes)  # (K, K) row k: the mean over images of class k
    for label in np.unique(truth):
        means[label] = found[truth == label].mean(axis=0)
    prior: NDArray[np.float64] = learnt @ means / (learnt @ means).sum()
    return prior


def _checked(
    probabilities: ArrayLike, prior: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = np.asarray(probabilities, dtype=np.float64)
    shares = np.asarray(prior, dtype=np.float64)
    if rows.ndim != 2 or shares.shape != rows.shape[1:]:
        raise ValueError(
            f"expected probabilities (N, K) and a prior (K,); got {rows.shape}, {shares.shape}"
        )
    if not (np.isfinite(shares).all() and (shares > 0).all()):
        raise ValueError(f"shares of classes must be positive; got {shares}")
    return rows, shares / shares.sum()
