"""Objects with several images, and rows that say the same twice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from plankton_da.manifests.columns import TEXT, column_of
from plankton_da.manifests.ecotaxa_tables import ORIGINAL_RANK, STATUS, VALIDATED


def repeated(rows: pd.DataFrame) -> tuple[pd.Series[bool], list[str]]:
    """Rows whose object has an image of that name in another row, as a mask (N,), and why for each.

    The first validated row is kept, or the first. ``rows`` has ``object_id``, ``img_file_name`` and
    ``where``, the row's place.
    """
    groups = rows.groupby(
        [rows["object_id"].str.strip(), rows["img_file_name"].str.strip()]
    ).ngroup()
    validated = column_of(rows, STATUS).str.strip().str.lower() == VALIDATED
    order = np.argsort(~validated.to_numpy(dtype=bool), kind="stable")  # validated ones first
    again = groups.iloc[order].duplicated().reindex(rows.index)
    kept = pd.Series(rows.index[~again], index=groups[~again])[groups[again]]
    words = [
        f"object_id and img_file_name are those of {rows['where'][first]}; "
        + ("that one, validated, is kept" if first > row else "the first is kept")
        for row, first in zip(rows.index[again], kept, strict=True)
    ]
    return again, words


def image_ids(rows: pd.DataFrame, remarks: list[str]) -> tuple[pd.DataFrame, pd.Series[str]]:
    """The rows that remain and an id for each image that is unique.

    Of an object's images the first, by ``img_rank``, has the object's id, the next ``ID#2``.
    """
    rank = pd.to_numeric(column_of(rows, "img_rank"), errors="coerce").fillna(0.0)
    order = rank.to_numpy(dtype=np.float64).argsort(kind="stable")
    place = rows["object_id"].iloc[order].groupby(rows["object_id"].iloc[order]).cumcount()
    place = place.sort_index()  # of each image among those of its object, from 0
    originals = (rank == ORIGINAL_RANK) & (place > 0)
    if originals.any():
        count = int(originals.sum())
        what = (
            "1 image is the original of a vignette"
            if count == 1
            else (f"{count} images are the originals of vignettes")
        )
        remarks.append(f"{what} (img_rank {ORIGINAL_RANK}): left out, since it looks different")
        rows, place = rows[~originals].reset_index(drop=True), place[~originals]
    ids = rows["object_id"].to_numpy(dtype=object).copy()
    taken = set(ids)
    further = np.flatnonzero(place.to_numpy() > 0)
    for row, number in zip(further.tolist(), place.to_numpy()[further].tolist(), strict=True):
        number += 1
        while (name := f"{ids[row]}#{number}") in taken:
            number += 1
        taken.add(name)
        ids[row] = name
    if len(further):
        count = rows["object_id"].iloc[further].nunique()
        remarks.append(
            f"objects with several images: {count}; each image is a row, the first has the "
            f"object's id, the others ({len(further)}) ID#2 and so on; count objects by ecotaxa_id"
        )
    return rows, pd.Series(ids, index=rows.index, dtype=TEXT)
