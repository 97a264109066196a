"""The columns of an EcoTaxa table, made of predictions and of what the ingest carried.

Source: the import page of EcoTaxa (https://ecotaxa.obs-vlfr.fr) and what its importer does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from plankton_da.manifests.columns import TEXT, column_of
from plankton_da.manifests.ecotaxa_row import PARENT_CATEGORY
from plankton_da.manifests.ecotaxa_tables import (
    CATEGORY,
    CATEGORY_ID,
    FIXED_NUMBERS,
    FIXED_TEXTS,
    HIERARCHY,
    MAX_NUMBERS,
    MAX_PARENT_COLUMNS,
    MAX_TEXT_LENGTH,
    MAX_TEXTS,
    NUMBER,
    OWN_ID,
    PREFIXES,
    STATUS,
    column_name,
)
from plankton_da.manifests.ecotaxa_tables import TEXT as TEXT_TYPE
from plankton_da.manifests.ecotaxa_values import date_text, degrees, number, time_text
from plankton_da.manifests.problems import counted
from plankton_da.prediction.export.ecotaxa_further import OURS, further_columns

SCORE, LABEL, MODEL = f"{OURS}score", f"{OURS}label", f"{OURS}model"
"""our free columns: scores cannot be imported as EcoTaxa's own"""

_MANAGED = {
    "object_id",
    "img_file_name",
    CATEGORY,
    CATEGORY_ID,
    STATUS,
    HIERARCHY,
    PARENT_CATEGORY,
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)?$")
_PLAIN_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?|nan|NaN|NA")
_SHOWN = 3  # values in a note


@dataclass
class Columns:
    """Columns of free and fixed metadata: ``table`` holds text, as it is to be written."""

    table: pd.DataFrame
    types: dict[str, str]
    notes: list[str] = field(default_factory=list)


def carried_columns(rows: pd.DataFrame) -> Columns:
    """What an ingest carried, ready to be imported: EcoTaxa's columns, or what there is instead.

    Columns that EcoTaxa's tables do not have become free ones of objects. Values that the importer
    would refuse become empty, texts that are too long are cut, free columns beyond EcoTaxa's limits
    are left out; the notes say so.
    """
    found: dict[str, pd.Series[str]] = {}
    for name in map(str, rows.columns):
        own = column_name(name)
        if own.startswith(PREFIXES) and own not in _MANAGED and not own.startswith(OURS):
            found.setdefault(own, rows[name])
    found = {name: column for name, column in found.items() if _is_known(name)}
    used = _add_ids(rows, found)
    further, notes = further_columns(rows, {*found, *_MANAGED}, used)
    found |= further
    columns = {name: _mended(name, column, notes) for name, column in found.items()}
    fixed = {*FIXED_NUMBERS, *FIXED_TEXTS}
    filled = {n: c for n, c in columns.items() if n in fixed or bool((c != "").any())}
    types = {name: _type_of(name, column) for name, column in filled.items()}
    for name in _beyond_limits(types, notes):
        del filled[name], types[name]
    return Columns(pd.DataFrame(filled, index=rows.index), types, notes)


def _is_known(name: str) -> bool:
    return not name.startswith("img_") or name in FIXED_NUMBERS


def _add_ids(rows: pd.DataFrame, found: dict[str, pd.Series[str]]) -> set[str]:
    """Ids that EcoTaxa wants where there are columns of a sample, acquisition or process.

    Returns the columns of ``rows`` that were made use of.
    """
    used: set[str] = set()
    if OWN_ID not in rows and not any(name.startswith(("sample_", "acq_")) for name in found):
        used = _add_what_is_known(rows, found)
    for prefix in ("sample_", "acq_", "process_"):
        if any(name.startswith(prefix) for name in found) and f"{prefix}id" not in found:
            found[f"{prefix}id"] = pd.Series("", index=rows.index, dtype=TEXT)
    return used


def _add_what_is_known(rows: pd.DataFrame, found: dict[str, pd.Series[str]]) -> set[str]:
    """Of images that did not come from EcoTaxa: group, camera, time, pixel size and volume."""
    used = {"group", "pixel_size_um", "volume_ml"}
    group, camera = column_of(rows, "group"), rows["instrument"]
    if bool((group != "").any()):
        found["sample_id"] = group
    found["acq_id"] = camera.where(group == "", camera + "_" + group)
    found["acq_instrument"] = camera
    for name in ("pixel_size_um", "volume_ml"):
        if name in rows:
            found[f"acq_{name}"] = rows[name]
    if "time" in rows and "object_date" not in found:  # ISO 8601 in UTC, as ingests write it
        moments = rows["time"].where(rows["time"].str.match(_MOMENT), "")
        found["object_date"] = moments.str.slice(0, 10)
        found["object_time"] = moments.str.slice(11, 19)
        if bool(((moments != "") | (rows["time"] == "")).all()):
            used.add("time")
    return used


def _mended(name: str, column: pd.Series[str], notes: list[str]) -> pd.Series[str]:
    mend = _MENDING.get(name, _as_number if name in FIXED_NUMBERS else None)
    distinct = pd.Index(column.unique())
    clean = {value: _CONTROL.sub(" ", value).strip() for value in distinct}
    if mend is not None:
        mended = {value: mend(text) if text else "" for value, text in clean.items()}
        refused = [value for value, text in mended.items() if text is None]
        if refused:
            count = int(column.isin(refused).sum())
            shown = ", ".join(map(repr, refused[:_SHOWN]))
            notes.append(
                f"{name}: EcoTaxa refuses {counted(count, 'value')}, left empty, such as {shown}"
            )
        clean = {value: text or "" for value, text in mended.items()}
    long = [value for value, text in clean.items() if len(text) > MAX_TEXT_LENGTH]
    if long:
        count = int(column.isin(long).sum())
        notes.append(f"{name}: cut to {MAX_TEXT_LENGTH} characters in {counted(count, 'row')}")
        clean = {value: text[:MAX_TEXT_LENGTH].strip() for value, text in clean.items()}
    return pd.Series(column.map(clean), dtype=TEXT)


def _as_number(text: str) -> str | None:
    value = number(text)
    return None if value is None else "" if math.isnan(value) else text


def _angle(most: float) -> Callable[[str], str | None]:
    def mend(text: str) -> str | None:
        value = degrees(text)
        if value is None or abs(value) > most:
            return None
        return "" if math.isnan(value) else text if number(text) is not None else f"{value:.7f}"

    return mend


_MENDING: dict[str, Callable[[str], str | None]] = {
    "object_lat": _angle(90.0),
    "object_lon": _angle(180.0),
    "object_date": date_text,
    "object_time": time_text,
    "object_annotation_date": date_text,
    "object_annotation_time": time_text,
}


def _type_of(name: str, column: pd.Series[str]) -> str:
    if name in FIXED_NUMBERS:
        return NUMBER
    if name in FIXED_TEXTS or not name.startswith("object_"):
        return TEXT_TYPE
    values = [value for value in column.unique() if value]
    # 007 is no number but a name, and would come back as 7
    plain = all(_PLAIN_NUMBER.fullmatch(value) and number(value) is not None for value in values)
    return NUMBER if plain else TEXT_TYPE


def _beyond_limits(types: dict[str, str], notes: list[str]) -> list[str]:
    """Free columns that EcoTaxa has no room for; two texts and a number are ours."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, kind in types.items():
        if name not in (*FIXED_NUMBERS, *FIXED_TEXTS):
            prefix = name.split("_")[0] + "_"
            kinds.setdefault((prefix, kind if prefix == "object_" else ""), []).append(name)
    beyond = []
    for (prefix, kind), names in kinds.items():
        room = {NUMBER: MAX_NUMBERS - 1, TEXT_TYPE: MAX_TEXTS - 2}.get(kind, MAX_PARENT_COLUMNS)
        left_out = names[room:]
        if left_out:
            what = f"{prefix} columns{f' of type {kind}' if kind else ''}"
            notes.append(
                f"left out, since EcoTaxa has room for {room} free {what}: {', '.join(left_out)}"
            )
        beyond += left_out
    return beyond
