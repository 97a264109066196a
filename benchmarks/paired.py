"""Whether one set of models beats another on the same images, by more than the draw of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

_RESAMPLES = 2000


def paired_gain(
    base: Sequence[pd.DataFrame], other: Sequence[pd.DataFrame], seed: int = 0
) -> list[float]:
    """Gain of ``other``'s mean macro recall over ``base``'s, and its 95% interval.

    Each table holds ``true_label`` and ``label`` of the same images in the same order, one table
    per training seed. Images are resampled within their class, the same ones for all models; the
    seeds are not, so the interval knows nothing of how runs differ.
    """
    truth = base[0]["true_label"].to_numpy()
    for table in (*base, *other):
        if not np.array_equal(table["true_label"].to_numpy(), truth):
            raise ValueError("the tables are not of the same images")
    hits = [
        np.mean([(table["label"].to_numpy() == truth) for table in tables], axis=0)
        for tables in (base, other)
    ]
    difference = hits[1] - hits[0]  # (N,)
    draw = np.random.default_rng(seed)
    classes = [np.flatnonzero(truth == name) for name in sorted(set(truth))]
    gains = np.mean(
        [difference[draw.choice(rows, (_RESAMPLES, len(rows)))].mean(axis=1) for rows in classes],
        axis=0,
    )  # (_RESAMPLES,)
    gain = float(np.mean([difference[rows].mean() for rows in classes]))
    return [gain, *(float(end) for end in np.percentile(gains, [2.5, 97.5]))]
