"""An occurrence table in Darwin Core, as OBIS and GBIF take it, for machine observations.

Terms: https://dwc.tdwg.org/terms; which of them for images and classifiers: the OBIS manual,
https://manual.obis.org/other_data_types.html, after Martin-Cabrera et al. 2022,
doi:10.25607/OBP-1742.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from plankton_da.errors import DataError, UsageError
from plankton_da.manifests.columns import TEXT, column_of
from plankton_da.manifests.names import APHIA_COLUMNS, aphia_id, fold
from plankton_da.manifests.problems import SHOWN_PER_CODE, counted
from plankton_da.manifests.table import write_manifest
from plankton_da.prediction.export.darwincore_events import EVENT_TERMS, event_columns
from plankton_da.prediction.export.ifcb_rois import rois_before_pictures
from plankton_da.prediction.export.objects import best_of_object, own_ids
from plankton_da.prediction.export.options import ExportOptions
from plankton_da.prediction.export.reading import Predictions
from plankton_da.prediction.export.renaming import Renaming, read_renaming
from plankton_da.prediction.export.result import ExportResult
from plankton_da.prediction.predictions import UNCLASSIFIED

SUMMARY = "a Darwin Core occurrence table for OBIS and GBIF: machine observations, with their model"
OPTIONS = frozenset({"taxonomy"})
BASIS, STATUS, VERIFICATION = "MachineObservation", "present", "PredictedByMachine"
SCORE_WORDS = "classification score "
"""before the score in identificationRemarks"""

_LSID = "urn:lsid:marinespecies.org:taxname:"
_REQUIRED = ("eventDate", "decimalLatitude", "decimalLongitude")
_WEB = re.compile(r"https?://", re.IGNORECASE)
_SEVERAL = " | "  # between the values of a list, as Darwin Core recommends
_NOT_LIVING = ("artefact", "artifact", "bubble", "detritus", "fiber", "fibre", "not-living", "snow")
_ODD = re.compile(rf"_|\b({'|'.join(_NOT_LIVING)})s?\b", re.IGNORECASE)


def write(predictions: Predictions, out: Path, options: ExportOptions) -> ExportResult:
    """Write one row per classified organism, as CSV in UTF-8.

    Of an object that has several images the most certain prediction counts, as for EcoTaxa. Where a
    picture of an IFCB ROI lies beside its bin, the ROI's own row counts.

    ``scientificName`` is the class of ``options.taxonomy``, whose columns ``aphia_id``,
    ``scientificNameID``, ``taxonRank`` and ``kingdom`` are used too; a class without a name there
    (detritus, bubbles) is left out, and so is ``unclassified``. Times, places and depths are taken
    from columns that the ingest carried.

    Raises
    ------
    UsageError
        ``out`` does not end in .csv.
    ManifestError
        The taxonomy has problems or lacks a label.
    DataError
        No row remains.
    OutputError
        ``out`` is there already, or cannot be written.
    """
    if out.suffix.lower() != ".csv":
        raise UsageError(f"--out {out}: --format darwincore writes a file that ends in .csv")
    organisms, pictures = rois_before_pictures(predictions.good())
    good, merged = _objects(organisms)
    renaming = read_renaming(options.taxonomy, good["label"])
    named = np.array([renaming.name(label) != "" for label in good["label"]], dtype=bool)
    notes = _left_out(good["label"][~named])
    if merged:
        notes.append(
            f"{counted(merged, 'row')} of further images of an object merged with the first: one "
            f"occurrence per object, and of its predictions the most certain"
        )
    if not named.any():
        raise DataError(
            f"{predictions.path}: no row remains: {'; '.join(notes) or 'no image was classified'}"
        )
    rows = good[named]
    table, of_events = _occurrences(predictions, rows, renaming)
    write_manifest(table, out, options.overwrite)
    notes += of_events
    if options.taxonomy is None:
        notes.append(_own_names(table["scientificName"]))
    empty = [name for name in _REQUIRED if (table[name] == "").any()]
    if empty:
        notes.append(f"OBIS requires {', '.join(empty)}, which rows lack here: fill them in")
    return ExportResult([out], len(table), predictions.failures() + pictures, notes)


def _objects(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """One row per object, with all its images, and how many rows it took fewer for that."""
    ids = own_ids(rows)
    keys = rows["instrument"] + ":" + ids
    further = keys.duplicated()
    if not further.any():
        return rows.assign(object_id=ids), 0
    best = best_of_object(rows, keys).assign(object_id=ids)
    web = rows["image"][rows["image"].str.match(_WEB)]
    media = keys.map(web.groupby(keys.loc[web.index]).agg(_SEVERAL.join))
    best["image"] = best["image"].where(media.isna(), media)
    return best[~further], int(further.sum())


def _occurrences(
    predictions: Predictions, rows: pd.DataFrame, renaming: Renaming
) -> tuple[pd.DataFrame, list[str]]:
    labels = rows["label"].tolist()
    events, notes = event_columns(rows)
    ids = [_name_id(renaming, label) for label in labels]
    scores = rows["score"].to_numpy(dtype=np.float32).astype(str)
    columns: dict[str, object] = {
        "occurrenceID": rows["instrument"] + ":" + rows["object_id"],
        **{term: events[term] for term in EVENT_TERMS},
        "basisOfRecord": BASIS,
        "occurrenceStatus": STATUS,
        "scientificName": [renaming.name(label) for label in labels],
        "scientificNameID": ids,
        "taxonRank": [renaming.value("taxonRank", label) for label in labels],
        "kingdom": [renaming.value("kingdom", label) for label in labels],
        "verbatimIdentification": labels,
        "identificationVerificationStatus": VERIFICATION,
        "identificationReferences": _references(predictions),
        "dateIdentified": predictions.finished,
        "identificationRemarks": [f"{SCORE_WORDS}{score}" for score in scores],
        "catalogNumber": rows["object_id"],
        "samplingProtocol": rows["instrument"],
        "associatedMedia": [ref if _WEB.match(ref) else "" for ref in rows["image"]],
        "license": column_of(rows, "licence"),
    }
    table = pd.DataFrame(columns, index=rows.index).astype(TEXT)
    return table, notes


def _name_id(renaming: Renaming, label: str) -> str:
    """The WoRMS LSID of a class; '' where the taxonomy has none."""
    for column in renaming.columns:
        if fold(column) in APHIA_COLUMNS and (value := renaming.value(column, label).strip()):
            number = aphia_id(value)
            return f"{_LSID}{number}" if number else value
    return ""


def _references(predictions: Predictions) -> str:
    """Software, version and model, as a reference for an identification."""
    parts = [f"plankton_da {predictions.version}".strip()]
    if predictions.model:
        parts.append(f"model {predictions.model}")
    if predictions.model_hash:
        parts.append(f"sha256 {predictions.model_hash}")
    return ", ".join(parts)


def _own_names(names: pd.Series[str]) -> str:
    """What is to be said where no taxonomy tells what the classes are called."""
    way_out = "give --taxonomy T.csv with the columns label,class,aphia_id"
    counts = names.value_counts()
    odd = [f"{name} ({count})" for name, count in counts.items() if _ODD.search(str(name))]
    if not odd:
        return (
            f"scientificName holds the model's own class names; {way_out} to write names and ids "
            f"of WoRMS"
        )
    more = ", ..." * (len(odd) > SHOWN_PER_CODE)
    return (
        f"warning: these class names stand as scientificName and do not look like names of taxa: "
        f"{', '.join(odd[:SHOWN_PER_CODE])}{more}; {way_out} (an empty class: no occurrence)"
    )


def _left_out(labels: pd.Series[str]) -> list[str]:
    """Why rows are no occurrences."""
    counts = labels.value_counts()
    notes = []
    if UNCLASSIFIED in counts:
        notes.append(f"{UNCLASSIFIED}, so no occurrences: {counted(counts[UNCLASSIFIED], 'row')}")
    others = [f"{name} ({n})" for name, n in counts.items() if name != UNCLASSIFIED]
    if others:
        more = ", ..." * (len(others) > SHOWN_PER_CODE)
        shown = ", ".join(others[:SHOWN_PER_CODE])
        notes.append(f"no name in the taxonomy, so no occurrences: {shown}{more}")
    return notes
