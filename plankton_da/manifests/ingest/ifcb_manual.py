"""``manual`` files of the IFCB's MATLAB tools: which class somebody gave each ROI of a bin.

Layout: https://github.com/hsosik/ifcb-analysis/wiki
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ManifestError
from plankton_da.manifests.ingest.mat import read_mat

_ROWS, _CLASSES, _AUTOMATIC = "classlist", "class2use_manual", "class2use_auto"


def read_manual(path: Path, all_labels: bool) -> tuple[list[int], list[str]] | None:
    """Numbers of the ROIs that have a class, and their classes; None if the file is another kind.

    ``classlist`` has a row per ROI: its number, the class that a person gave it and the one that a
    classifier did, as numbers from 1 into ``class2use_manual``, or NaN.

    Parameters
    ----------
    path
        a .mat file of MATLAB 5 to 7
    all_labels
        take the classifier's class where there is no person's

    Raises
    ------
    ManifestError
        The file cannot be read, or its labels are no labels.
    """
    found = read_mat(path, (_ROWS, _CLASSES, _AUTOMATIC))
    rows, classes, automatic = (found.get(name) for name in (_ROWS, _CLASSES, _AUTOMATIC))
    if rows is None or classes is None:
        return None
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] < 2:
        raise ManifestError(f"{path}: {_ROWS} is no table of ROI numbers and classes")
    if not isinstance(classes, list):
        raise ManifestError(f"{path}: {_CLASSES} is no list of names")
    numbers = rows[:, 0]
    labels = _named(rows[:, 1], classes)
    if all_labels and rows.shape[1] > 2:
        names = automatic if isinstance(automatic, list) and automatic else classes
        labels = np.where(labels == "", _named(rows[:, 2], names), labels)
    whole = (numbers >= 1) & (numbers < 2**31) & (numbers == np.floor(numbers))
    good = whole & (labels != "")
    return numbers[good].astype(np.int64).tolist(), labels[good].tolist()


def _named(numbers: NDArray[np.float64], classes: Sequence[str]) -> NDArray[np.object_]:
    known = (numbers >= 1) & (numbers <= len(classes)) & (numbers == np.floor(numbers))
    places = np.where(known, numbers, 0).astype(np.int64)
    return np.array(["", *classes], dtype=object)[places]
