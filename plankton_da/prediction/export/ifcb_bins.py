"""Predictions of IFCB images, bin by bin, and the file that each bin gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plankton_da.errors import DataError, OutputError
from plankton_da.manifests.problems import SHOWN_PER_CODE
from plankton_da.prediction.export.ifcb_rois import roi_of, rois_before_pictures
from plankton_da.prediction.export.reading import Predictions
from plankton_da.prediction.files import explained, replace_file

_NO_ROI = "no ROI of an IFCB bin: neither BIN.roi#14 nor BIN_00014 as its image or object_id"


@dataclass(frozen=True, eq=False)
class BinRows:
    """The classified images (n) of one bin, by ROI number."""

    pid: str
    rows: pd.DataFrame
    rois: NDArray[np.int64]
    """(n,) ROI numbers, from 1, ascending"""

    @property
    def day(self) -> datetime:
        """The day of the bin's start."""
        return day_of(self.pid)


def bins_of(predictions: Predictions) -> tuple[list[BinRows], list[tuple[str, str]]]:
    """The bins in order of their names, and (object_id, why) of rows that belong to none.

    A row belongs to the bin that its ref names (``BIN.roi#14``), else to that of its object_id or
    file name (``BIN_00014``, ``BIN_00014.png``). Where a picture of a ROI lies beside the bin, the
    ROI's own row counts.

    Raises
    ------
    DataError
        No row belongs to a bin, a bin's day does not exist, or a ROI has several rows.
    """
    good, pictures = rois_before_pictures(predictions.good())
    found = [roi_of(*each) for each in zip(good["image"], good["object_id"], strict=True)]
    strays = [(str(good["object_id"].iloc[k]), _NO_ROI) for k, pid in enumerate(found) if not pid]
    inside = np.array([bool(each) for each in found], dtype=bool)
    if not inside.any():
        raise DataError(
            f"{predictions.path}: no classified row is a ROI of an IFCB bin. Such a row has an "
            f"image like D20160714T023910_IFCB101.roi#14, or an object_id or file name like "
            f"D20160714T023910_IFCB101_00014"
        )
    places = [each for each in found if each]
    rows = good[inside].assign(_pid=[pid for pid, _ in places], _roi=[roi for _, roi in places])
    _refuse_doubles(predictions.path, rows)
    bins = []
    for pid, part in rows.groupby("_pid", sort=True):
        part = part.sort_values("_roi")
        bins.append(BinRows(str(pid), part, part["_roi"].to_numpy(dtype=np.int64)))
        day_of(str(pid))
    return bins, predictions.failures() + strays + pictures


def day_of(pid: str) -> datetime:
    """When a bin was begun: UTC, to the second.

    Raises
    ------
    DataError
        There is no such day or time.
    """
    form = "%Y_%j_%H%M%S" if pid.startswith("IFCB") else "D%Y%m%dT%H%M%S"
    text = pid.partition("_")[2] if pid.startswith("IFCB") else pid.partition("_")[0]
    try:
        return datetime.strptime(text, form)  # UTC by definition
    except ValueError:
        raise DataError(f"{pid}: the bin's name holds no date and time that exist") from None


def write_each(
    bins: Sequence[BinRows],
    path_of: Callable[[BinRows], Path],
    content_of: Callable[[BinRows], bytes],
    *,
    overwrite: bool,
) -> list[Path]:
    """Write one file per bin, each whole or not at all; a file that is there with the same is kept.

    Raises
    ------
    OutputError
        Files of other content are there and ``overwrite`` is False (nothing is written then), or
        one cannot be written.
    """
    paths = [path_of(each) for each in bins]
    same = {path for path, each in zip(paths, bins, strict=True) if _holds(path, each, content_of)}
    taken = [] if overwrite else [path for path in paths if path.exists() and path not in same]
    if taken:
        more = len(taken) - SHOWN_PER_CODE
        raise OutputError(
            "\n".join(f"{path}: is there with other content" for path in taken[:SHOWN_PER_CODE])
            + (f"\n... and {more} more" if more > 0 else "")
            + "\nadd --overwrite or name another --out"
        )
    for path, each in zip(paths, bins, strict=True):
        if path not in same:
            with explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content_of(each))
    return paths


def _holds(path: Path, each: BinRows, content_of: Callable[[BinRows], bytes]) -> bool:
    return path.is_file() and path.read_bytes() == content_of(each)


def _refuse_doubles(path: Path, rows: pd.DataFrame) -> None:
    doubled = rows[rows.duplicated(["_pid", "_roi"], keep=False)]
    if doubled.empty:
        return
    lines = [
        f"{path}: ROI {roi} of {pid} has {len(part)} rows: {', '.join(part['object_id'])}"
        for (pid, roi), part in doubled.groupby(["_pid", "_roi"])
    ]
    more = len(lines) - SHOWN_PER_CODE
    raise DataError(
        "\n".join(lines[:SHOWN_PER_CODE])
        + (f"\n... and {more} more" if more > 0 else "")
        + "\nkeep one row of each"
    )
