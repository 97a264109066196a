"""Columns that no EcoTaxa table has, such as those of FlowCam and IFCB, as free ones of objects."""

from __future__ import annotations

import re
from collections.abc import Collection

import pandas as pd

from plankton_da.manifests.ecotaxa_row import PARENT_CATEGORY
from plankton_da.manifests.ecotaxa_tables import (
    FIXED_NUMBERS,
    FIXED_TEXTS,
    HIERARCHY,
    OWN_ID,
    PREFIXES,
    column_name,
)
from plankton_da.prediction.predictions import COLUMNS

OURS = "object_da_"
"""how the names of our own free columns begin"""
_OF_SERVER = ("objid", HIERARCHY, PARENT_CATEGORY)
"""what EcoTaxa makes of an object and its category; as free columns they would soon be wrong"""
_DERIVED = ("group", "pixel_size_um", "true_label")
"""what the ingest of EcoTaxa's tables made of columns that are exported themselves"""
_NOT_OF_OBJECTS = (*COLUMNS, OWN_ID, "split")
_OF_PREDICTION = re.compile(r"(label|score)_\d+|p_.*", re.DOTALL)
_NO_NAME = re.compile(r"[^\w%.-]+")


def further_columns(
    rows: pd.DataFrame, taken: Collection[str], used: Collection[str]
) -> tuple[dict[str, pd.Series[str]], list[str]]:
    """Free columns for what has none yet, ``ppc`` as ``object_ppc``, and what is left out and why.

    A name that EcoTaxa gives a meaning, or that another column has, becomes
    ``object_input_<name>``.

    Parameters
    ----------
    taken
        names of EcoTaxa's columns that are there already, or mean something else
    used
        columns of ``rows`` whose content stands in those
    """
    known = {*taken, *FIXED_NUMBERS, *FIXED_TEXTS}
    passed_over = {*used, *_NOT_OF_OBJECTS, *(_DERIVED if OWN_ID in rows else ())}
    found: dict[str, pd.Series[str]] = {}
    server, nameless = [], []
    for name in map(str, rows.columns):
        own = column_name(name)
        if own in _OF_SERVER:
            server.append(name)
        elif not (
            name in passed_over
            or own in taken
            or _OF_PREDICTION.fullmatch(name)
            or (own.startswith(PREFIXES) and not own.startswith("img_"))
        ):
            free = _free_name(own, known)
            if free:
                found[free] = rows[name]
                known.add(free)
            else:
                nameless.append(name)
    notes = []
    if server:
        notes.append(
            f"left out, since EcoTaxa sets it itself and an import cannot: {', '.join(server)}"
        )
    if nameless:
        notes.append(
            f"left out, since there is no name for it in EcoTaxa: {', '.join(map(repr, nameless))}"
        )
    return found, notes


def _free_name(own: str, known: Collection[str]) -> str:
    """The name of a free column; '' where there is none."""
    word = _NO_NAME.sub("_", own).strip("_")
    for name in (f"object_{word}", f"object_input_{word}"):
        if word and name not in known and not name.startswith(OURS):
            return name
    return ""
