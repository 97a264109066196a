"""Which ROI of which IFCB bin a row is of, and pictures of ROIs that have a row themselves."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from plankton_da.images.ifcb import PID

_BIN = re.sub(r"\?P<\w+>", "?:", PID.pattern)  # without groups
_ROI = re.compile(rf"(?:^|[/\\!])({_BIN})\.(?:roi|ROI)#(\d+)$", re.ASCII)
_PICTURE = re.compile(rf"(?:^|[/\\!])({_BIN})_(\d{{1,9}})(?:\.\w+)?$", re.ASCII)
_PICTURE_TOO = "a picture of {}.roi#{}, which is classified from the bin itself"


def roi_of(image: str, object_id: str) -> tuple[str, int] | None:
    """Bin and number of the ROI that a ref, an object_id or a file name says, in this order."""
    tried = (_ROI.search(image), _PICTURE.search(object_id), _PICTURE.search(image))
    found = next(filter(None, tried), None)
    return (found[1], int(found[2])) if found else None


def rois_before_pictures(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The rows without exported pictures of ROIs that have a row, and (object_id, why) of those.

    Dashboards and tools write a PNG of each ROI (``BIN_00014.png``), often beside the bin: the same
    organism twice.
    """
    is_roi = rows["image"].str.contains(".roi#", case=False, regex=False).to_numpy(dtype=bool)
    if not is_roi.any() or is_roi.all():
        return rows, []
    of_rois = {roi_of(image, "") for image in rows["image"][is_roi]} - {None}
    pictures = np.flatnonzero(~is_roi)
    named = zip(rows["image"].iloc[pictures], rows["object_id"].iloc[pictures], strict=True)
    left_out, why = [], []
    for place, (image, object_id) in zip(pictures.tolist(), named, strict=True):
        roi = roi_of(image, object_id)
        if roi is not None and roi in of_rois:
            left_out.append(place)
            why.append((str(object_id), _PICTURE_TOO.format(*roi)))
    return rows.drop(rows.index[left_out]), why
