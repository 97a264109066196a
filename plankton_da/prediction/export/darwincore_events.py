"""When and where an image was taken, in Darwin Core's terms, from what ingests carry."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import datetime

import pandas as pd

from plankton_da.errors import DataError
from plankton_da.manifests.columns import TEXT, column_of
from plankton_da.manifests.ecotaxa_values import date_text, degrees, number, time_text
from plankton_da.manifests.problems import counted
from plankton_da.prediction.export.ifcb_bins import day_of
from plankton_da.prediction.export.ifcb_rois import roi_of

EVENT_TERMS = (
    "eventID",
    "eventDate",
    "decimalLatitude",
    "decimalLongitude",
    "minimumDepthInMeters",
    "maximumDepthInMeters",
)
_EVENTS = ("eventID", "group", "sample_id")
_TIMES = ("eventDate", "time", "datetime", "sampled")
"""columns with ISO 8601; that an IFCB bin's name is a time is known, a FlowCam's imaging time is
not when the sample was taken"""
_LATITUDES = ("decimalLatitude", "object_lat", "latitude", "lat")
_LONGITUDES = ("decimalLongitude", "object_lon", "longitude", "lon")
_SHALLOWEST = ("minimumDepthInMeters", "object_depth_min", "depth_min", "depth")
_DEEPEST = ("maximumDepthInMeters", "object_depth_max", "depth_max", "depth")
_DEEPEST_SEA = 11_000.0
"""metres; deeper is what software writes where it does not know, such as the 99999 of ZooProcess"""


def event_columns(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """``EVENT_TERMS`` of each row as text, '' where unknown, and what could not be used.

    The first of a term's columns that the row fills counts. EcoTaxa's ``object_date`` and
    ``object_time`` (UTC) make an eventDate; the name of an IFCB bin is an eventID and a time.
    """
    notes: list[str] = []
    table = pd.DataFrame(index=rows.index)
    bins = [_bin_of(*names) for names in zip(rows["image"], rows["object_id"], strict=True)]
    events = _first_filled(rows, _EVENTS)
    table["eventID"] = events.where(events != "", pd.Series(bins, index=rows.index, dtype=TEXT))
    table["eventDate"] = _dates(rows, bins, notes)
    place = (("decimalLatitude", _LATITUDES, 90.0), ("decimalLongitude", _LONGITUDES, 180.0))
    for term, names, most in place:
        values = _first_filled(rows, names)
        table[term], wrong = _numbers(values, -most, most, degrees)
        _say(values[wrong], f"{term}: no degrees from {-most:g} to {most:g}", notes)
    _empty_null_island(table, notes)
    depths = pd.Series("", index=rows.index, dtype=TEXT)
    for term, names in (("minimumDepthInMeters", _SHALLOWEST), ("maximumDepthInMeters", _DEEPEST)):
        values = _first_filled(rows, names)
        table[term], wrong = _numbers(values, 0.0, _DEEPEST_SEA, number)
        depths = depths.where((depths != "") | ~wrong, values)
    _say(depths[depths != ""], f"depth: no metres from 0 to {_DEEPEST_SEA:,.0f}", notes)
    return table[list(EVENT_TERMS)].astype(TEXT), notes


def _empty_null_island(table: pd.DataFrame, notes: list[str]) -> None:
    """Make no place of latitude 0 and longitude 0, which templates have where nobody filled it."""
    place = ["decimalLatitude", "decimalLongitude"]
    unknown = (table[place] == "0").all(axis=1)
    table.loc[unknown, place] = ""
    if unknown.any():
        notes.append(
            f"latitude and longitude are both 0, which stands for unknown, in "
            f"{counted(int(unknown.sum()), 'row')}; left empty"
        )


def _first_filled(rows: pd.DataFrame, names: tuple[str, ...]) -> pd.Series[str]:
    result = pd.Series("", index=rows.index, dtype=TEXT)
    for name in names:
        values = column_of(rows, name).astype(TEXT).str.strip()
        result = result.where(result != "", values)
    return result


def _numbers(
    values: pd.Series[str], least: float, most: float, read: Callable[[str], float | None]
) -> tuple[pd.Series[str], pd.Series[bool]]:
    """The numbers as text, '' for none, and which values are none that can be."""
    texts: dict[str, str] = {}
    wrong: list[str] = []
    for value in values.unique():
        found = read(value) if value else math.nan
        if found is None or found < least or found > most:
            wrong.append(value)
            found = math.nan
        texts[value] = "" if math.isnan(found) else f"{found + 0.0:.8g}"  # + 0.0: no -0
    return values.map(texts).astype(TEXT), values.isin(wrong)


def _dates(rows: pd.DataFrame, bins: list[str], notes: list[str]) -> list[str]:
    given = _first_filled(rows, _TIMES)
    days, clocks = (column_of(rows, name) for name in ("object_date", "object_time"))
    texts: list[str] = []
    wrong: list[str] = []
    for text, day, clock, pid in zip(given, days, clocks, bins, strict=True):
        if text:
            when = _iso(text)
            if not when:
                wrong.append(text)
        else:
            when = _of_ecotaxa(day, clock) or _of_bin(pid)
            if day.strip() and not when:
                wrong.append(day)
        texts.append(when)
    _say(wrong, "eventDate: no times", notes)
    return texts


def _iso(text: str) -> str:
    """The text itself if it is a time in ISO 8601, else ''."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


def _of_ecotaxa(day: str, clock: str) -> str:
    """``2014-04-21T04:20:00Z`` of EcoTaxa's date and time."""
    date = date_text(day)
    if date is None:
        return ""
    text = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    time = time_text(clock) if clock.strip() else None
    return f"{text}T{time[:2]}:{time[2:4]}:{time[4:]}Z" if time else text


def _bin_of(image: str, object_id: str) -> str:
    found = roi_of(image, object_id)
    return found[0] if found else ""


def _of_bin(pid: str) -> str:
    try:
        return f"{day_of(pid).isoformat()}Z" if pid else ""
    except DataError:
        return ""


def _say(wrong: Collection[str], what: str, notes: list[str]) -> None:
    if len(wrong):
        shown = ", ".join(map(repr, list(dict.fromkeys(wrong))[:3]))
        notes.append(f"{what} in {counted(len(wrong), 'row')}, such as {shown}; left empty")
