"""Images with what was said about them, as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plankton_da.evaluation.report.figures import as_png, new_figure, plain

_COLUMNS = 8


def draw_examples(
    pixels: NDArray[np.uint8],
    labels: Sequence[str],
    predicted: Sequence[str],
    scores: Sequence[float] | NDArray[np.float32],
    title: str,
) -> bytes:
    """Draw a sheet of images, each under its predicted label and score.

    Green: as the true label; red: another, which stands in brackets; black: true label unknown.

    Parameters
    ----------
    pixels : (N, H, W, C) uint8, C 1 (gray) or 3 (RGB)
    labels : N true labels, '' where unknown
    predicted, scores : N labels and their scores

    Returns
    -------
    PNG

    Raises
    ------
    ValueError
        Lengths differ, or the pixels are not (N, H, W, 1 or 3) uint8.
    """
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"expected (N, H, W, 1 or 3) uint8, got {pixels.shape} {pixels.dtype}")
    if not len(pixels) == len(labels) == len(predicted) == len(scores):
        raise ValueError("expected as many labels, predictions and scores as images")
    columns = max(1, min(_COLUMNS, len(pixels)))
    rows = max(1, -(-len(pixels) // columns))
    figure = new_figure(max(1.5 * columns, 4.0), 1.8 * rows + 0.5)
    figure.suptitle(plain(title))
    for index in range(rows * columns):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_axis_off()
        if index >= len(pixels):
            continue
        picture = pixels[index]
        gray = picture.shape[2] == 1
        axes.imshow(picture[..., 0] if gray else picture, cmap="gray", vmin=0, vmax=255)
        truth, guess = labels[index], predicted[index]
        color = "black" if not truth else "green" if truth == guess else "red"
        below = f"\n[{truth}]" if truth and truth != guess else ""
        axes.set_title(plain(f"{guess} {scores[index]:.2f}{below}"), fontsize=7, color=color, pad=2)
    return as_png(figure)
