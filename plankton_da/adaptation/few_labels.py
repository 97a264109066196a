"""A few labelled target images that are trained on: what must hold of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plankton_da.errors import ManifestError, listed

_KEY = ["instrument", "object_id"]


def require_few_labels(
    few: pd.DataFrame, audit: pd.DataFrame | None, target: pd.DataFrame, classes: Sequence[str]
) -> None:
    """Refuse rows that cannot be trained on, or that something is to be measured with.

    Raises
    ------
    ManifestError
        A row is in ``data.audit`` too, or in ``val`` or ``test`` of the target; its label is none
        of mid's classes; its instrument none of the target's; or there is no row.
    """
    where = "data.target_labelled"
    if few.empty:
        raise ManifestError(f"{where}: no row has a label; label some, or leave the key out")
    if foreign := sorted(set(few["instrument"]) - set(target["instrument"])):
        raise ManifestError(
            f"{where}: instrument {', '.join(foreign)} is none of data.target's "
            f"({', '.join(sorted(set(target['instrument'])))})"
        )
    if unknown := sorted(set(few["label"]) - set(classes)):
        raise ManifestError(
            f"{where}: mid has no training image of {', '.join(unknown)}; its classes are "
            f"{', '.join(classes)}. Map the labels with data.taxonomy, or leave the rows out"
        )
    measured = target[target["split"].isin(("val", "test"))]
    for name, table in (("data.audit", audit), ("val or test of data.target", measured)):
        if table is not None and len(both := few.merge(table[_KEY].drop_duplicates(), on=_KEY)):
            raise ManifestError(
                f"{where}: {len(both)} row(s) are in {name} too; what is trained on cannot measure "
                f"or choose. Leave them out of one of the two:\n{listed(both['object_id'])}"
            )


def without_labels_of(few: pd.DataFrame, target: pd.DataFrame) -> pd.DataFrame:
    """``target`` with the labels of ``few``'s rows removed: nothing is measured on them."""
    learnt = pd.MultiIndex.from_frame(target[_KEY]).isin(pd.MultiIndex.from_frame(few[_KEY]))
    return target.assign(label=target["label"].mask(learnt, ""))
