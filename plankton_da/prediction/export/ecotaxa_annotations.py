"""What EcoTaxa is to be told of each object: our prediction, or what people said of it before."""

from __future__ import annotations

import pandas as pd

from plankton_da.manifests.columns import TEXT, column_of
from plankton_da.manifests.ecotaxa_tables import (
    CATEGORY,
    CATEGORY_ID,
    MAX_TEXT_LENGTH,
    STATUS,
)
from plankton_da.prediction.export.ecotaxa_columns import LABEL, MODEL, SCORE
from plankton_da.prediction.export.reading import Predictions, score_text
from plankton_da.prediction.export.renaming import Renaming

CATEGORY_ID_COLUMN = "category_id"
"""of a label map: the taxon's number on the EcoTaxa server"""
_BY_PEOPLE = ("validated", "dubious")
_WHO_AND_WHEN = (
    "object_annotation_person_name",
    "object_annotation_person_email",
    "object_annotation_date",
    "object_annotation_time",
)
_HASH_SHOWN = 12  # letters


def annotation_columns(
    best: pd.DataFrame, carried: pd.DataFrame, predictions: Predictions, renaming: Renaming
) -> pd.DataFrame:
    """Category, status and our own columns for each row of ``best``.

    An object that people have validated or found dubious keeps what they said.
    """
    by_people = annotated_by_people(best)
    labels = [str(name) for name in best["label"].unique()]
    names = best["label"].map({name: renaming.name(name) for name in labels}).astype(TEXT)
    known = _known_numbers(best)
    number_of = {
        name: renaming.value(CATEGORY_ID_COLUMN, name) or known.get(renaming.name(name), "")
        for name in labels
    }
    numbers = best["label"].map(number_of).astype(TEXT)
    theirs = column_of(best, CATEGORY)
    # beside a number any name will do, but where there is the column the importer wants one
    theirs = theirs.where(theirs != "", column_of(best, CATEGORY_ID))
    status = names.where(names == "", "predicted")
    numbers = numbers.where(names != "", "")
    columns: dict[str, pd.Series[str]] = {
        CATEGORY: names.where(~by_people, theirs),
        CATEGORY_ID: numbers.where(~by_people, column_of(best, CATEGORY_ID)),
        STATUS: status.where(~by_people, column_of(best, STATUS)),
        LABEL: best["raw_label"],
        SCORE: score_text(best["raw_score"]),
        MODEL: pd.Series(_model_text(predictions), index=best.index, dtype=TEXT),
    }
    if bool((columns[CATEGORY_ID] == "").all()):
        del columns[CATEGORY_ID]
    for name in _WHO_AND_WHEN:
        if name in carried:  # of a prediction nobody is the author
            columns[name] = carried[name].where(by_people, "")
    return pd.DataFrame({name: column.astype(TEXT) for name, column in columns.items()})


def annotated_by_people(rows: pd.DataFrame) -> pd.Series[bool]:
    """Rows whose object somebody has validated or found dubious in EcoTaxa, with a category."""
    status = column_of(rows, STATUS).str.strip().str.lower()
    named = (column_of(rows, CATEGORY) != "") | (column_of(rows, CATEGORY_ID) != "")
    return status.isin(_BY_PEOPLE) & named


def _known_numbers(rows: pd.DataFrame) -> dict[str, str]:
    """Category -> the server's number for it, where what was carried has one and the same."""
    pairs = pd.DataFrame(
        {"name": column_of(rows, CATEGORY), "number": column_of(rows, CATEGORY_ID)}
    )
    pairs = pairs[(pairs["name"] != "") & (pairs["number"] != "")].drop_duplicates()
    single = pairs[~pairs["name"].duplicated(keep=False)]
    return dict(zip(single["name"].tolist(), single["number"].tolist(), strict=True))


def _model_text(predictions: Predictions) -> str:
    """The model's name and the beginning of its hash, as much as EcoTaxa has room for."""
    mark = predictions.model_hash[:_HASH_SHOWN]
    end = f" sha256:{mark}" if mark else ""
    return predictions.model[-(MAX_TEXT_LENGTH - len(end)) :] + end
