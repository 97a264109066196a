"""When a prediction abstains: images that are less certain than almost all of mid were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import BundleError, UsageError
from plankton_da.networks.bundle import BundleInfo

PERCENTILES = 101
"""entries of ``BundleInfo.mid_entropy``: the 0th, 1st, ... 100th percentile"""


def entropy(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Shannon entropy in nats of each row of (..., K) probabilities; NaN stays NaN."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-30, None)
    found: NDArray[np.float64] = -(clipped * np.log(clipped)).sum(-1)
    return found


def entropy_percentiles(probabilities: NDArray[np.floating[Any]]) -> tuple[float, ...]:
    """``PERCENTILES`` percentiles of the entropy over the rows (N, K); none of no rows."""
    if not len(probabilities):
        return ()
    found = np.percentile(entropy(probabilities), np.linspace(0, 100, PERCENTILES))
    return tuple(float(value) for value in found)


def entropy_limit(abstain: float, info: BundleInfo) -> float:
    """The entropy above which predictions abstain, such that ``abstain`` of mid's val images would.

    0: infinite, no prediction abstains.

    Raises
    ------
    UsageError
        ``abstain`` is no share below 1.
    BundleError
        The bundle was trained without images of mid, or by a version that kept no entropies.
    """
    if not 0 <= abstain < 1:
        raise UsageError(
            f"--abstain {abstain:g}: give the share of mid's images that may become unclassified, "
            f"from 0 (none) to below 1, such as 0.05"
        )
    if abstain == 0:
        return float("inf")
    return _quantile(info.mid_entropy, 1 - abstain)


def _quantile(percentiles: Sequence[float], share: float) -> float:
    if not percentiles:
        raise BundleError(
            "--abstain: this bundle does not say how certain it was of mid's images (mid_entropy "
            "in bundle.json); train it again with this version, or leave --abstain out"
        )
    return float(np.interp(share, np.linspace(0, 1, len(percentiles)), percentiles))
