"""What must hold of mid and target together before anything is trained on them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plankton_da.manifests.class_rules import (
    LEARNT,
    distinct_labels,
    only_in_val,
    words_one_class,
    words_only_in_val,
)
from plankton_da.manifests.columns import EncodedTable
from plankton_da.manifests.problems import Problem, Problems
from plankton_da.manifests.table import Manifest


def check_pair(
    mid: Manifest | Sequence[Manifest], target: Manifest | Sequence[Manifest]
) -> Problems:
    """Every reason why mid and target cannot be trained on together.

    Labels are to be mapped by the taxonomy already. ``check_pair(mid, target).raise_if_any()``
    raises a ``ManifestError`` that lists them all.
    """
    mids = [mid] if isinstance(mid, Manifest) else list(mid)
    targets = [target] if isinstance(target, Manifest) else list(target)
    problems = Problems()
    mid_file = ", ".join(_name(manifest) for manifest in mids)
    target_file = ", ".join(_name(manifest) for manifest in targets)
    where_mid = {name: _name(manifest) for manifest in mids for name in manifest.instruments}
    for manifest in targets:
        for name in manifest.instruments:
            if name in where_mid:
                words = (
                    f"the target's instrument {name!r} is mid's too ({where_mid[name]}); they are "
                    "two cameras, with two names: build one of them again with --instrument"
                )
                problems.add([_whole(_name(manifest), "instrument", "same_instrument", words)])
    table = pd.concat([_label_columns(manifest) for manifest in mids], ignore_index=True)
    problems.extend(_mid_problems(mid_file, table))
    if not any(manifest.column("split").isin(LEARNT).any() for manifest in targets):
        words = "no row to adapt to: all rows are in val or test; leave some in train"
        problems.add([_whole(target_file, "split", "empty_train", words)])
    return problems


def _mid_problems(file: str, table: pd.DataFrame) -> Problems:
    problems = Problems()
    learnt = table["split"].isin(LEARNT)
    if table.empty:
        words = "no row to learn from: none has a label, or the taxonomy drops them all"
        problems.add([_whole(file, "label", "empty_train", words)])
    elif not learnt.any():
        words = "no row to learn from: all rows are in val or test; leave some in train"
        problems.add([_whole(file, "split", "empty_train", words)])
    elif not table["split"].isin(("val", "")).any():
        words = (
            "no row to choose the model by: none is in val; leave the split of some empty (15% of "
            "those become val) or divide again: plankton-da manifest split --overwrite-split"
        )
        problems.add([_whole(file, "split", "empty_val", words)])
    encoded = EncodedTable(table)
    labels = distinct_labels(encoded)
    if len(labels) == 1:
        problems.add([_whole(file, "label", "one_class", words_one_class(labels[0]))])
    bare = int(((table["label"] == "") & table["split"].isin((*LEARNT, "val"))).sum())
    if bare:
        words = f"{bare} row(s) of train or val have no label; label them or leave them out"
        problems.add([_whole(file, "label", "unlabelled", words)])
    for label, rows, _ in only_in_val(encoded):
        words = words_only_in_val(label, rows)
        problems.add([_whole(file, "label", "label_only_in_val", words)])
    return problems


def _name(manifest: Manifest) -> str:
    return str(manifest.path or manifest.root)


def _label_columns(manifest: Manifest) -> pd.DataFrame:
    return pd.DataFrame({name: manifest.column(name) for name in ("label", "split")})


def _whole(file: str, column: str, code: str, words: str) -> Problem:
    return Problem(file, None, column, code, words)
