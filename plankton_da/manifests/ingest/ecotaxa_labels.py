"""Labels of an EcoTaxa table: what people confirmed, or all that is there."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from plankton_da.manifests.columns import TEXT, column_of
from plankton_da.manifests.ecotaxa_tables import (
    CATEGORY,
    CATEGORY_ID,
    STATUS,
    STATUSES,
    VALIDATED,
    is_empty,
)


def labels_of(table: pd.DataFrame, all_labels: bool, remarks: list[str]) -> pd.Series[str]:
    """The category of each row (N,), '' where nobody confirmed it; ``all_labels``: any category.

    Where there is only a taxon number, the number is the label.
    """
    categories = column_of(table, CATEGORY).str.strip().to_numpy(dtype=object)
    numbers = column_of(table, CATEGORY_ID).str.strip().to_numpy(dtype=object)
    statuses = column_of(table, STATUS).str.strip().str.lower().to_numpy(dtype=object)
    # nan stands for none where nobody gave a status; beside one, a taxon may be called NA
    without_name = (categories == "") | np.array(
        [
            is_empty(value) and not status
            for value, status in zip(categories, statuses, strict=True)
        ],
        dtype=bool,
    )
    without_number = np.array([is_empty(value) for value in numbers], dtype=bool)
    labels = np.where(without_name, np.where(without_number, "", numbers), categories)
    found = labels != ""
    only_number = found & without_name
    taken = found if all_labels else found & (statuses == VALIDATED)
    if (only_number & taken).any():
        count = int((only_number & taken).sum())
        remarks.append(
            f"labels that are taxon numbers, since the table has no names for them: {count}"
        )
    if not taken.all():
        remarks.append(_left_out(labels[found & ~taken].size, statuses[found & ~taken], found))
    unknown = sorted({status for status in statuses[found] if status not in (*STATUSES, "")})
    if unknown:
        remarks.append(
            f"{STATUS} is one of {', '.join(STATUSES)}; found {', '.join(map(repr, unknown[:5]))}"
        )
    return pd.Series(np.where(taken, labels, ""), index=table.index, dtype=TEXT)


def _left_out(count: int, statuses: np.ndarray, found: np.ndarray) -> str:
    without = int((~found).sum())
    parts = []
    if count:
        of_each = Counter(status or "no status" for status in statuses.tolist())
        listed = ", ".join(f"{number} {status}" for status, number in of_each.most_common(5))
        parts.append(f"{count} with a category that nobody validated ({listed}; see --all-labels)")
    if without:
        parts.append(f"{without} without a category")
    return f"rows without label: {', '.join(parts)}"
