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
    found = [_ROI.search(image) for image in rows["image"]]
    from_bins = {(roi[1], int(roi[2])) for roi in found if roi}
    if not from_bins:
        return rows, []
    kept, left_out = np.ones(len(rows), dtype=bool), []
    named = zip(found, rows["image"], rows["object_id"], strict=True)
    for place, (is_roi, image, object_id) in enumerate(named):
        if not is_roi and (roi := roi_of(image, object_id)) in from_bins and roi is not None:
            kept[place] = False
            left_out.append((str(object_id), _PICTURE_TOO.format(*roi)))
    return rows[kept], left_out
