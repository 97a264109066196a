"""Images of one object: which of their predictions counts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from plankton_da.manifests.columns import TEXT, column_of
from plankton_da.manifests.ecotaxa_tables import OWN_ID


def own_ids(rows: pd.DataFrame) -> pd.Series[str]:
    """EcoTaxa's object_id of each row: that of the ingest, which images of an object share."""
    carried = column_of(rows, OWN_ID)
    return pd.Series(carried.where(carried != "", rows["object_id"]), dtype=TEXT)


def best_of_object(rows: pd.DataFrame, ids: pd.Series[str]) -> pd.DataFrame:
    """For each row the row of the same object that the model was most certain of; index kept."""
    if not bool(ids.duplicated().any()):
        return rows
    order = np.argsort(-rows["raw_score"].to_numpy(), kind="stable")
    ranked = ids.iloc[order]
    best = ranked[~ranked.duplicated()]
    at = pd.Series(best.index, index=pd.Index(best.to_numpy(object)))
    return rows.loc[at.loc[ids.to_numpy(object)]].set_axis(rows.index)
