"""What the labels of a manifest must be, so that a classifier can learn them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plankton_da.manifests.columns import column_of, encode

LEARNT = ("train", "")
"""splits that are learnt from; mid's rows without split are divided, and train gets most"""


def only_in_val(table: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Labels with rows in val and none to learn from: (label, number of rows, first row)."""
    labels = encode(column_of(table, "label"))
    split = column_of(table, "split")
    count = len(labels.values)
    learnt = _rows_of(labels.codes, np.asarray(split.isin(LEARNT), dtype=bool), count)
    in_val = np.asarray(split == "val", dtype=bool)
    val = _rows_of(labels.codes, in_val & ~labels.is_empty(), count)
    found = []
    for code in np.flatnonzero((val > 0) & (learnt == 0)).tolist():
        first = int(np.flatnonzero(in_val & (labels.codes == code))[0])
        found.append((str(labels.values[code].as_py()), int(val[code]), first))
    return found


def _rows_of(codes: NDArray[np.int32], where: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    return np.bincount(codes[where], minlength=count)


def words_only_in_val(label: str, rows: int) -> str:
    """The message of such a label."""
    return (
        f"label {label!r} has {rows} row(s) in val and none in train, so that it cannot be learnt; "
        "move some to train (plankton-da manifest split --overwrite-split) or drop it by a taxonomy"
    )


def distinct_labels(table: pd.DataFrame) -> list[str]:
    """Labels other than '', sorted."""
    return sorted(set(column_of(table, "label").unique()) - {""})


def words_one_class(label: str) -> str:
    """The message where there is a single label."""
    return (
        f"all labelled rows have the label {label!r}; a classifier needs two classes or more: add "
        "images of other classes, or map labels to finer ones"
    )
