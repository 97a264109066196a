"""The pixels of single ROIs out of IFCB bins.

The places of the images of a bin are remembered: finding them takes a thousand times longer than
reading one.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plankton_da.errors import ImageError
from plankton_da.images.ifcb import Rois, RowState, companion, read_bin

_ROWS_KEPT = 1_000_000
"""rows of bins that are remembered, about 33 MB"""
_BINS_KEPT = 4096
_TRUSTED_SECONDS = 0.1
"""for which .adc and .hdr are taken to be as they were; the .roi is looked at each time"""
_MAX_DIGITS = 9
_IMAGE = int(RowState.IMAGE)
# a pipe must not be waited for, Windows must not translate line ends
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_State = tuple[int, ...]


@dataclass(slots=True)
class _Known:
    roi: _State
    beside: _State
    until: float
    rois: Rois


_known: OrderedDict[str, _Known] = OrderedDict()
_lock = threading.Lock()


def is_bin(path: Path) -> bool:
    """Whether a file, by its name, holds the pixels of a bin."""
    return path.suffix.lower() == ".roi"


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that decide the pixels of an image in ``path``; a bin's header may lack."""
    if not is_bin(path):
        return (path,)
    header = companion(path, ".hdr")
    return (path, companion(path, ".adc"), *([header] if header.exists() else []))


def open_roi(path: str, number: str) -> Image.Image:
    """One image of a ``.roi``, gray; ``number`` is what stands after the ``#`` of its ref.

    Raises
    ------
    ImageError
        not_an_image, missing, truncated, too_large, unreadable, empty_file, permission_denied.
    OSError
        The ``.roi`` is not there or may not be read.
    """
    file = os.open(path, _OPEN)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise ImageError("not_an_image", "it is no regular file")
        if not number:
            example = f"{os.path.basename(path)}#2"
            raise ImageError("not_an_image", f"a bin holds many images; name one, as {example}")
        rois = _rois_of(path, (found.st_size, found.st_mtime_ns))
        row = int(number) - 1 if number.isdecimal() and len(number) <= _MAX_DIGITS else -1
        if not 0 <= row < len(rois):
            words = f"the bin has no ROI {number[:20]}; its rows are 1 to {len(rois)}"
            raise ImageError("missing", words)
        if rois.state.item(row) != _IMAGE:
            raise rois.why(row)
        size = rois.width.item(row), rois.height.item(row)
        os.lseek(file, rois.start.item(row), os.SEEK_SET)
        pixels = os.read(file, size[0] * size[1])
    finally:
        os.close(file)
    if len(pixels) < size[0] * size[1]:
        raise ImageError("truncated", "the .roi became shorter while it was read")
    return Image.frombuffer("L", size, pixels, "raw", "L", 0, 1)


def read_rois(path: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Number and pixels, gray (height, width), of every image of a ``.roi``, in order.

    Many times quicker than one after the other by its ref. Rows without an image and damaged rows
    are passed over; ``read_bin(path).rois`` knows them.

    Raises
    ------
    ImageError
        The bin as a whole cannot be read, or became shorter meanwhile.
    """
    rois = read_bin(path).rois
    rows = np.flatnonzero(rois.state == RowState.IMAGE)
    columns = (rois.start, rois.height, rois.width)
    places = [(rows + 1).tolist(), *(column[rows].tolist() for column in columns)]
    with companion(path, ".roi").open("rb", buffering=0) as file:
        for number, start, height, width in zip(*places, strict=True):
            file.seek(start)
            pixels = np.frombuffer(file.read(height * width), dtype=np.uint8)
            if len(pixels) < height * width:
                raise ImageError("truncated", "the .roi became shorter while it was read")
            yield number, pixels.reshape(height, width)


def _rois_of(path: str, roi: _State) -> Rois:
    known = _known.get(path)
    now = time.monotonic()
    if known and known.roi == roi:
        if now < known.until:
            return known.rois
        if known.beside == _beside(path):
            known.until = now + _TRUSTED_SECONDS
            return known.rois
    beside = _beside(path)
    rois = read_bin(Path(path)).rois
    with _lock:
        _known[path] = _Known(roi, beside, now + _TRUSTED_SECONDS, rois)
        _known.move_to_end(path)
        rows = sum(len(each.rois) for each in _known.values())
        while len(_known) > 1 and (rows > _ROWS_KEPT or len(_known) > _BINS_KEPT):
            rows -= len(_known.popitem(last=False)[1].rois)
    return rois


def _beside(path: str) -> _State:
    state: list[int] = []
    for file in (companion(Path(path), ".adc"), companion(Path(path), ".hdr")):
        try:
            found = file.stat()
        except OSError:  # reading the bin will say what is wrong
            state.append(-1)
        else:
            state += (found.st_size, found.st_mtime_ns)
    return tuple(state)
