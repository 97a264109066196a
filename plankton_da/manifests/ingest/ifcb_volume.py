"""When an IFCB took a bin, and how much water it looked at."""

from __future__ import annotations

import datetime
import math

import numpy as np
from numpy.typing import NDArray

from plankton_da.images.ifcb import PID, Bin

_ML_PER_SECOND = 0.25 / 60
_TRUSTED_ML = 0.05
"""how far a header's volume may be from the rows' and still be believed"""
_TRUSTED_SECONDS = 0.3
"""how far a row's run time may be from its own clock; more is a glitch of the last row"""
_DAY = 86400.0  # seconds

# Version 1 tells no inhibit time: the instrument is blind from one grabbed frame to the next open
# trigger, and never shorter than this. The shorter one: IFCB5 since its repair in June 2015.
_LEAST_BLIND_SECONDS = 0.073
_LEAST_BLIND_SECONDS_IFCB5 = 0.05
_IFCB5_REPAIRED = datetime.datetime(2015, 6, 1, tzinfo=datetime.UTC)
_OPEN_V1, _GRAB_V1 = 7, 8  # columns of seconds since the start
_CLOCKS_V2 = {"adctime": 1, "runtime": 22, "inhibittime": 23}


def sample_time(pid: str) -> datetime.datetime | None:
    """The time (UTC) in a bin's name; None where it is none, such as a 13th month."""
    found = PID.fullmatch(pid)
    if found is None:
        return None
    new = found["date"] is not None
    words = (
        found["date"] + found["time"] if new else "".join(found.group("year", "day", "old_time"))
    )
    try:
        when = datetime.datetime.strptime(words, "%Y%m%d%H%M%S" if new else "%Y%j%H%M%S")
    except ValueError:
        return None
    if not new and f"{when:%j}" != found["day"]:  # day 366 of another year becomes a day 1
        return None
    return when.replace(tzinfo=datetime.UTC)


def analysed_ml(pid: str, found: Bin) -> float | None:
    """Millilitres in which any particle would have been seen; None where the files do not tell.

    From the run time without the times of blindness, at 0.25 ml a minute. Version 2: as the header
    has them, unless the rows tell another volume (by more than 0.05 ml). Version 1: from the rows,
    by the rules of pyifcb (https://github.com/joefutrelle/pyifcb, ``ifcb/metrics/ml_analyzed.py``).
    """
    if found.version == 1:
        return _volume(_seconds_v1(pid, found))
    rows = _volume(_seconds_of_rows(found))
    header = _volume(_seconds_of_header(found))
    if header is None or (rows is not None and abs(header - rows) > _TRUSTED_ML):
        return rows
    return header


def _volume(seconds: float) -> float | None:
    return seconds * _ML_PER_SECOND if math.isfinite(seconds) and seconds > 0 else None


def _seconds_of_header(found: Bin) -> float:
    try:
        return float(found.header["runtime"]) - float(found.header["inhibittime"])
    except (KeyError, ValueError):
        return math.nan


def _seconds_of_rows(found: Bin) -> float:
    columns = found.columns if _CLOCKS_V2.keys() <= found.columns.keys() else _CLOCKS_V2
    clock, run, inhibit = (found.table.decimals(columns[name]) for name in _CLOCKS_V2)
    good = np.isfinite(run) & np.isfinite(inhibit) & (run > inhibit)
    exact = good & (np.abs(run - clock) < _TRUSTED_SECONDS)
    rows = np.flatnonzero(exact if exact.any() else good)
    return float(run[rows[-1]] - inhibit[rows[-1]]) if len(rows) else math.nan


def _seconds_v1(pid: str, found: Bin) -> float:
    opened, grabbed = (_same_day(found.table.decimals(each)) for each in (_OPEN_V1, _GRAB_V1))
    firsts = np.unique(found.trigger, return_index=True)[1]  # a trigger may have several rows
    rows = np.sort(firsts[np.isfinite(opened[firsts]) & np.isfinite(grabbed[firsts])])
    if not len(rows):
        return math.nan
    when = sample_time(pid)
    repaired = pid.startswith("IFCB5_") and when is not None and when >= _IFCB5_REPAIRED
    least = _LEAST_BLIND_SECONDS_IFCB5 if repaired else _LEAST_BLIND_SECONDS
    blind = np.maximum(opened[rows[1:]] - grabbed[rows[:-1]], least)
    return float(grabbed[rows[-1]] - blind.sum() - least)


def _same_day(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds since the start of the sample, of a clock that jumps back at midnight."""
    return np.where(seconds < 0, seconds + _DAY, seconds)
