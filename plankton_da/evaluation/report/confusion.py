"""Confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from plankton_da.evaluation.report.figures import as_png, new_figure, plain

_COUNTS_UP_TO = 30  # classes; above it the numbers in the cells are too small to read


def draw_confusion(matrix: ArrayLike, classes: Sequence[str], title: str) -> bytes:
    """Draw a confusion matrix: shade = share of the true class, number = images.

    Parameters
    ----------
    matrix : (K, K) int, row = true class, column = predicted class, as ``confusion_matrix`` gives
    classes : K names

    Returns
    -------
    PNG

    Raises
    ------
    ValueError
        The matrix is not (K, K).
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"expected a ({len(classes)}, {len(classes)}) matrix, got {counts.shape}")
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]

    side = 3.0 + 0.42 * min(len(classes), 60)  # inches
    figure = new_figure(side + 2, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    names = [plain(name) for name in classes]
    ticks = np.arange(len(classes))
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(
        ticks, [f"{name} (n={total})" for name, total in zip(names, totals, strict=True)]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(plain(title))
    if len(classes) <= _COUNTS_UP_TO:
        for row, column in zip(*np.nonzero(counts), strict=True):
            shade = "white" if shares[row, column] > 0.55 else "black"
            axes.text(
                column, row, str(counts[row, column]),
                ha="center", va="center", color=shade, fontsize=8,
            )  # fmt: skip
    return as_png(figure)
