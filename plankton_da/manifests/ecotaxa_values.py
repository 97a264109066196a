"""Values of EcoTaxa's fixed columns: what its importer takes, and how they are best written.

Source: the import page of EcoTaxa (https://ecotaxa.obs-vlfr.fr) and what its importer does.
"""

from __future__ import annotations

import datetime
import math
import re

from plankton_da.manifests.ecotaxa_tables import is_empty

_DEGREES = re.compile(r"(-?\d+)°(\d+) (\d+)")  # 43°12 30: degrees, minutes, seconds
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")
_CLOCK = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:\.\d*)?")


def degrees(text: str) -> float | None:
    """Decimal degrees of a latitude or longitude; None where it is none."""
    found = _DEGREES.search(text)
    if found is None:
        return number(text)
    whole, minutes, seconds = (float(part) for part in found.groups())
    fraction = minutes / 60 + seconds / 3600
    return whole - fraction if found[1].startswith("-") else whole + fraction


def number(text: str) -> float | None:
    """A number; None where it is none. ``nan`` and ``NA``, which stand for no value, are NaN."""
    if is_empty(text):
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return None if value == -math.inf or "_" in text else value


def date_text(text: str) -> str | None:
    """``20140421`` for ``20140421`` and ``2014-04-21``; None where it is no date."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    try:
        datetime.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
    return "".join(found.groups())


def time_text(text: str) -> str | None:
    """``042000`` for ``420``, ``0420`` and ``04:20:00``; None where it is no time of day.

    Zeros that a spreadsheet cut off are put back: also ``90239`` is ``090239``, which EcoTaxa's
    importer itself takes for the hour 90.
    """
    text = text.strip()
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        digits = "".join(clock.groups())
    elif text.isascii() and text.isdigit() and len(text) <= 6:
        digits = text.zfill(4).ljust(6, "0") if len(text) <= 4 else text.zfill(6)
    else:
        return None
    hour, minute, second = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    return digits if hour < 24 and minute < 60 and second < 60 else None
