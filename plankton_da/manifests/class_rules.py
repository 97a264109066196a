"""What the labels of a manifest must be, so that a classifier can learn them."""

from __future__ import annotations

import numpy as np

from plankton_da.manifests.columns import EncodedTable, combinations

LEARNT = ("train", "")
"""splits that are learnt from; mid's rows without split are divided, and train gets most"""


def only_in_val(table: EncodedTable) -> list[tuple[str, int, int]]:
    """Labels with rows in val and none to learn from: (label, number of rows, first row)."""
    labels, splits = table["label"], table["split"]
    names, split_names = labels.values.to_pylist(), splits.values.to_pylist()
    in_val: dict[int, int] = {}
    learnt: set[int] = set()
    codes, counts = combinations(labels, splits)
    for label, split, count in zip(*(each.tolist() for each in (*codes, counts)), strict=True):
        if split_names[split] in LEARNT:
            learnt.add(label)
        elif split_names[split] == "val" and names[label]:
            in_val[label] = count
    found = []
    for label in sorted(in_val.keys() - learnt):
        of_label = labels.codes == label
        first = int(np.argmax(of_label & (splits.codes == split_names.index("val"))))
        found.append((names[label], in_val[label], first))
    return found


def words_only_in_val(label: str, rows: int) -> str:
    """The message of such a label."""
    return (
        f"label {label!r} has {rows} row(s) in val and none in train, so that it cannot be learnt; "
        "move some to train (plankton-da manifest split --overwrite-split) or drop it by a taxonomy"
    )


def distinct_labels(table: EncodedTable) -> list[str]:
    """Labels other than '', sorted."""
    return sorted(set(table["label"].values.to_pylist()) - {""})


def words_one_class(label: str) -> str:
    """The message where there is a single label."""
    return (
        f"all labelled rows have the label {label!r}; a classifier needs two classes or more: add "
        "images of other classes, or map labels to finer ones"
    )
