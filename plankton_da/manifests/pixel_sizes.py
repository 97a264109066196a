"""Sizes of pixels: units that are stated, units that lie, and cameras that do not fit together.

Tables of instruments name their pixel size in micrometres or millimetres, and some state the wrong
one of the two. No camera for plankton has pixels outside ``PLAUSIBLE_UM``, which tells the units
apart for all but a few values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from plankton_da.errors import UsageError
from plankton_da.manifests.columns import EncodedTable, column_of, combinations, encode

PLAUSIBLE_UM = (0.15, 250.0)
"""sides of pixels in micrometres, from microscopes to towed cameras (IFCB 0.29, UVP5 118)"""
FAR_APART = 100.0
"""ratio of two cameras' pixel sizes from which on a wrong unit is likelier than the truth"""

Unit = Literal["um", "mm"]
_FACTOR: dict[Unit, float] = {"um": 1.0, "mm": 1000.0}
_STATED: dict[Unit, re.Pattern[str]] = {
    "um": re.compile(r"(?i)(?<![a-zµμ])([uµμ]m|microns?|micromet\w*)(?![a-z])"),
    "mm": re.compile(r"(?i)(?<![a-z])(mm|millimet\w*)(?![a-z])"),
}


def stated_unit(name: str) -> Unit | None:
    """The unit that a column's name ends with or holds, such as ``pixel_mm`` or ``pixel [µm]``."""
    found: list[Unit] = [unit for unit, pattern in _STATED.items() if pattern.search(name)]
    return found[0] if len(found) == 1 else None


def in_micrometres(value: float, unit: Unit | None = None) -> tuple[float | None, str]:
    """A pixel's side in micrometres, and a remark where that is not what the table says.

    Parameters
    ----------
    value
        as the table has it
    unit
        as the table states it; None: it states none

    Returns
    -------
    side, remark
        The side is None where no unit, or more than one, makes the value plausible. The remark is
        '' where nothing is to be said.
    """
    if not math.isfinite(value) or value <= 0:
        return None, f"{value:g} is no size"
    if unit is not None and _is_plausible(value * _FACTOR[unit]):
        return _clean(value * _FACTOR[unit]), ""
    units = [each for each in _FACTOR if _is_plausible(value * _FACTOR[each])]
    low, high = PLAUSIBLE_UM
    if not units:
        return None, f"{value:g} is no plausible size in µm or mm ({low:g} to {high:g} µm are)"
    if len(units) == 2:
        return None, f"{value:g} may be µm or mm; the table states no unit"
    side = _clean(value * _FACTOR[units[0]])
    if unit is not None:
        return side, (
            f"{value:g} {_sign(unit)} is not plausible ({low:g} to {high:g} µm are); taken as "
            f"{_sign(units[0])}: {side:g} µm"
        )
    return side, "" if units[0] == "um" else f"{value:g} taken as mm: {side:g} µm"


def column_in_micrometres(
    column: pd.Series[str], unit: Unit | None = None
) -> tuple[pa.Array, list[str]]:
    """Values (N,) of a table as text in micrometres, '' where unknown, and remarks.

    One remark for each distinct value, at most 20.
    """
    encoded = encode(column)
    texts, remarks = [], []
    for text in encoded.values.to_pylist():
        side, remark = _read(text, unit)
        texts.append("" if side is None else f"{side:.6g}")
        if remark:
            remarks.append(remark)
    values = pa.array(texts, pa.large_string()).take(pa.array(encoded.codes))
    if len(remarks) > 20:
        remarks[20:] = [f"and {len(remarks) - 20} more values"]
    return values, remarks


def with_size(table: pd.DataFrame, size_um: float) -> tuple[pd.DataFrame, list[str]]:
    """The table with a pixel size in rows that have none, and a remark where others have another.

    Raises
    ------
    UsageError
        No camera for plankton has such pixels.
    """
    low, high = PLAUSIBLE_UM
    if not _is_plausible(size_um):
        raise UsageError(
            f"--pixel-size-um {size_um:g}: a camera for plankton has {low:g} to {high:g} µm; give "
            "the side of a pixel in micrometres"
        )
    own = column_of(table, "pixel_size_um")
    others = [text for text in encode(own).values.to_pylist() if text not in ("", f"{size_um:g}")]
    sizes = own.replace("", f"{size_um:g}")
    remarks = [f"pixel_size_um: rows that say {', '.join(others[:5])} keep it"] if others else []
    return table.assign(pixel_size_um=sizes), remarks


def median_sizes(tables: Sequence[pd.DataFrame]) -> dict[str, float]:
    """Instrument -> median side of its pixels in micrometres, over rows that have one."""
    return median_sizes_of([EncodedTable(table) for table in tables])


def median_sizes_of(tables: Sequence[EncodedTable]) -> dict[str, float]:
    """The same of tables that are encoded."""
    counts: dict[str, dict[float, int]] = {}
    for table in tables:
        if "pixel_size_um" not in table:
            continue
        instruments, sizes = table["instrument"], table["pixel_size_um"]
        numbers = [_number(text) for text in sizes.values.to_pylist()]
        codes, rows = combinations(instruments, sizes)
        for code, place, count in zip(*(each.tolist() for each in (*codes, rows)), strict=True):
            size = numbers[place]
            if size is not None and size > 0:
                mine = counts.setdefault(str(instruments.values[code].as_py()), {})
                mine[size] = mine.get(size, 0) + count
    return {name: _median(found) for name, found in counts.items()}


def size_remarks(sizes: Mapping[str, float]) -> list[str]:
    """Sentences about pixel sizes (instrument -> micrometres) that are likely in a wrong unit."""
    low, high = PLAUSIBLE_UM
    remarks = [
        f"{name}: pixel_size_um is {size:g}, but a camera for plankton has {low:g} to {high:g} µm; "
        "is it in another unit?"
        for name, size in sizes.items()
        if not low <= size <= high
    ]
    if len(sizes) > 1 and not remarks:
        (small, least), *_, (large, most) = sorted(sizes.items(), key=lambda item: item[1])
        if most / least >= FAR_APART:
            remarks.append(
                f"a pixel of {large} ({most:g} µm) is {most / least:.0f} times as wide as one of "
                f"{small} ({least:g} µm); is one of them in millimetres? If both are right, the "
                "two cameras hardly see the same organisms"
            )
    return remarks


def _median(counts: Mapping[float, int]) -> float:
    """Of values that occur so often; of an even number the lower one of the two in the middle."""
    sizes = sorted(counts)
    ends = np.cumsum([counts[size] for size in sizes])
    return sizes[int(np.searchsorted(ends, (int(ends[-1]) + 1) // 2))]


def _read(text: str, unit: Unit | None) -> tuple[float | None, str]:
    if not text.strip():
        return None, ""
    number = _number(text)
    if number is None:
        return None, f"{text[:40]!r} is no number"
    return in_micrometres(number, unit)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _is_plausible(side_um: float) -> bool:
    return PLAUSIBLE_UM[0] <= side_um <= PLAUSIBLE_UM[1]


def _clean(side_um: float) -> float:
    """Without the noise of a product: 0.0106 x 1000 is 10.6."""
    return float(f"{side_um:.10g}")


def _sign(unit: Unit) -> str:
    return "µm" if unit == "um" else unit
