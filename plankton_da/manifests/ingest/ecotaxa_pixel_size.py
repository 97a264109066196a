"""The pixel size that an EcoTaxa table states, whatever unit its column is in.

``process_pixel`` is in millimetres for UVP5 (0.118) and in micrometres for PlanktoScope (0.75); a
column of ZooScan is called ``..._µm`` and holds millimetres (0.0106).
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from plankton_da.manifests.columns import TEXT, arrow_of
from plankton_da.manifests.ecotaxa_tables import is_empty
from plankton_da.manifests.pixel_sizes import column_in_micrometres, stated_unit
from plankton_da.manifests.problems import counted

_UNIT = r"([uµμ]m|mm|microns?|(micro|milli)met(er|re)s?)"
_SIDE = re.compile(rf"(object|process|acq|sample)_(\w*_)?pixel(_?size)?(_?(in_)?{_UNIT})?")
_PER_UM = re.compile(
    r"(object|process|acq|sample)_(\w*_)?(pixels?|px)_per_([uµμ]m|microns?|micromet(er|re))"
)
_ENTITIES = ("object", "process", "acq", "sample")  # the nearer to the image the better
_UVP = "acq_smbase"  # a setting that UVP5 and UVP6 alone have
_UVP_MM = re.compile(r"\s*0?\.\d+\s*")  # the one camera whose sizes in mm may look like µm
_DIFFERENT = 0.05  # of the size; rounding makes less


def pixel_sizes(table: pd.DataFrame) -> tuple[pd.Series[str], list[str]]:
    """Micrometres as text (N,), '' where unknown, and what is to be said about them.

    Each row takes the column nearest to the image that has a plausible value.
    """
    found = pa.array([""] * len(table), pa.large_string())
    remarks: list[str] = []
    for name in _candidates(list(table.columns)):
        here, said = _in_micrometres(table, name)
        remarks.extend(f"{name}: {words}" for words in said)
        used = pc.and_(pc.equal(found, ""), pc.not_equal(here, ""))
        other = _differences(found, here)
        if len(other):
            first = int(other[0])
            remarks.append(
                f"{name} says {here[first]} µm in {counted(len(other), 'row')}, where "
                f"{found[first]} µm is taken from another column; correct pixel_size_um if that "
                "is wrong"
            )
        if pc.any(used).as_py():
            sizes = pc.unique(here.filter(used)).to_pylist()
            listed = ", ".join(sizes[:5]) + (", ..." if len(sizes) > 5 else "")
            remarks.append(f"pixel_size_um: {listed} from {name}")
        found = pc.if_else(used, here, found)
    return pd.Series(found, index=table.index, dtype=TEXT), remarks


def _candidates(columns: list[str]) -> list[str]:
    matches = {name: _SIDE.fullmatch(name) or _PER_UM.fullmatch(name) for name in columns}
    return sorted(
        (name for name in columns if matches[name]),
        key=lambda name: (_ENTITIES.index(name.split("_")[0]), name),
    )


def _in_micrometres(table: pd.DataFrame, name: str) -> tuple[pa.Array, list[str]]:
    values = arrow_of(table[name])
    distinct = pc.unique(values)
    texts = ["" if is_empty(text) else text for text in distinct.to_pylist()]
    unit = stated_unit(name.replace("_", " "))
    if _PER_UM.fullmatch(name):
        texts = [_inverse(text) for text in texts]
        unit = "um"
    elif (
        unit is None and _UVP in table.columns and all(map(_UVP_MM.fullmatch, filter(None, texts)))
    ):
        unit = "mm"
    sides, said = column_in_micrometres(pd.Series(texts, dtype=TEXT), unit)
    return sides.take(pc.index_in(values, distinct)), said


def _inverse(text: str) -> str:
    try:
        return f"{1 / float(text):.6g}" if text else ""
    except (ValueError, ZeroDivisionError):
        return text


def _differences(found: pa.Array, here: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows in which two columns have sizes that no rounding explains."""
    both = pc.and_(pc.not_equal(found, ""), pc.not_equal(here, ""))
    rows = np.flatnonzero(both.to_numpy(zero_copy_only=False))
    chosen = pa.array(rows)
    one = found.take(chosen).cast(pa.float64()).to_numpy()
    other = here.take(chosen).cast(pa.float64()).to_numpy()
    different: np.ndarray[tuple[int], np.dtype[np.intp]] = rows[
        np.abs(other / one - 1) > _DIFFERENT
    ]
    return different
