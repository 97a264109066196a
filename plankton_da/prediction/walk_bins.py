"""The images inside IFCB bins, without opening them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from plankton_da.errors import ImageError
from plankton_da.images.ifcb import RowState, companion, read_bin
from plankton_da.prediction.found import Found


def stands_for_bin(path: str) -> bool:
    """Whether this file of a bin is the one that stands for all: the ``.roi``, or for want of it
    the ``.adc``, or for want of both the ``.hdr``."""
    file = Path(path)
    before = {".roi": (), ".adc": (".roi",), ".hdr": (".roi", ".adc")}[file.suffix.lower()]
    return not any(companion(file, suffix).exists() for suffix in before)


def walk_bin(path: str, ref: str, name: str) -> Iterator[Found]:
    """Every image of a bin, by number, and every row that lost its image.

    A bin that cannot be read is one ``Found`` with a problem.

    Parameters
    ----------
    path
        any file of the bin
    ref
        of the ``.roi``
    name
        what object_ids start with; ``_00014`` follows
    """
    try:
        rois = read_bin(Path(path)).rois
    except ImageError as error:
        yield Found(name, ref, "", problem=error)
        return
    stamp = _stamp(path)
    rows = np.flatnonzero(rois.state != RowState.NO_IMAGE)
    for row, state, width, height in zip(
        rows.tolist(),
        rois.state[rows].tolist(),
        rois.width[rows].tolist(),
        rois.height[rows].tolist(),
        strict=True,
    ):
        problem = None if state == RowState.IMAGE else rois.why(row)
        size = width * height if problem is None else -1
        yield Found(f"{name}_{row + 1:05d}", f"{ref}#{row + 1}", "", size, stamp, problem)


def _stamp(path: str) -> int:
    """The last change of any file of the bin, ns."""
    files = (companion(Path(path), suffix) for suffix in (".roi", ".adc", ".hdr"))
    return max((os.stat(file).st_mtime_ns for file in files if file.exists()), default=-1)
