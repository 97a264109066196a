"""Bins of an Imaging FlowCytobot (``.hdr``, ``.adc``, ``.roi``) and where their images are.

Of both generations: version 1 (``IFCB3_2008_013423``) and 2 (``D20160714T023910_IFCB101``). A row
of the ``.adc`` is a trigger or, in version 1, a part of one; its number, from 1, is that of the
ROI, whether there is an image or not. The pixels stand in the ``.roi``, gray, line by line.

Layout of the files: https://github.com/hsosik/ifcb-analysis/wiki
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images import adc
from plankton_da.images.decoding import MAX_PIXELS

PID = re.compile(
    r"D(?P<date>\d{8})T(?P<time>\d{6})_IFCB\d+"
    r"|IFCB\d+_(?P<year>\d{4})_(?P<day>\d{3})_(?P<old_time>\d{6})",
    re.ASCII,
)
"""name of a bin, without suffix; the first form is version 2"""
SUFFIXES = (".roi", ".adc", ".hdr")
NO_SAMPLES = frozenset({"bad", "skip", "beads", "temp", "data_temp"})
"""names of folders, in lower case, whose bins are no samples"""

_MAX_HEADER_BYTES = 2**20
_COLUMNS: dict[int, dict[str, int]] = {
    1: {"trigger": 0, "roix": 9, "roiy": 10, "roiwidth": 11, "roiheight": 12, "startbyte": 13},
    2: {"trigger": 0, "roix": 13, "roiy": 14, "roiwidth": 15, "roiheight": 16, "startbyte": 17},
}
"""version -> where columns are, from 0; called as in a header's ADCFileFormat, letters alone"""


class RowState(IntEnum):
    """What a row of an ``.adc`` stands for."""

    IMAGE = 0
    NO_IMAGE = 1
    """a trigger without a picture, which is no fault"""
    NO_NUMBERS = 2
    NEGATIVE = 3
    TOO_LARGE = 4
    BEYOND_END = 5


@dataclass(frozen=True, eq=False)
class Rois:
    """Where the images of a bin's rows (N) are; a ROI's number is its row + 1."""

    start: NDArray[np.int64]
    """byte of the ``.roi`` that is the first pixel"""
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    state: NDArray[np.uint8]
    """``RowState`` of each row"""
    lines: NDArray[np.int64]
    """of the ``.adc``, from 1"""
    roi_bytes: int

    def __len__(self) -> int:
        return len(self.state)

    def why(self, row: int) -> ImageError:
        """Why a row, counted from 0, has no image."""
        where = f"line {self.lines[row]} of the .adc"
        start, width, height = (int(each[row]) for each in (self.start, self.width, self.height))
        match RowState(int(self.state[row])):
            case RowState.NO_IMAGE:
                return ImageError("missing", f"{where} is a trigger without an image")
            case RowState.NO_NUMBERS:
                words = "a trigger number, position, size or start byte lacks or is no whole number"
                return ImageError("unreadable", f"{where}: {words}")
            case RowState.NEGATIVE:
                words = f"{width} x {height} pixels from byte {start} of the .roi on"
                return ImageError("unreadable", f"{where}: {words}")
            case RowState.TOO_LARGE:
                words = f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded"
                return ImageError("too_large", f"{where}: {words}")
            case _:
                end = start + width * height
                words = f"its image ends at byte {end:,} of a .roi of {self.roi_bytes:,} bytes"
                return ImageError("truncated", f"{where}: {words}")


@dataclass(frozen=True, eq=False)
class Bin:
    """A bin without its pixels."""

    version: int
    header: Mapping[str, str]
    """keys in lower case"""
    table: adc.AdcTable
    columns: Mapping[str, int]
    """where columns of ``table`` are"""
    rois: Rois
    trigger: NDArray[np.int64]
    x: NDArray[np.int64]
    """(N,) of the left edge in the camera's picture, pixels"""
    y: NDArray[np.int64]


def is_of_bin(name: str) -> bool:
    """Whether a file, by its name, belongs to a bin."""
    stem, suffix = os.path.splitext(name)
    return suffix.lower() in SUFFIXES and PID.fullmatch(stem) is not None


def companion(path: Path, suffix: str) -> Path:
    """The file beside a bin's file that has another suffix, in the same case."""
    return path.with_suffix(suffix.upper() if path.suffix.isupper() else suffix)


def read_bin(path: Path) -> Bin:
    """Read the header and the rows of the bin that ``path``, any file of it, belongs to.

    Raises
    ------
    ImageError
        missing, permission_denied, unreadable, empty_file, too_large: the bin as a whole cannot be
        read. What is wrong with a row, ``rois.state`` says.
    """
    version = 1 if path.name.startswith("IFCB") else 2
    try:
        head = _read(companion(path, ".hdr"), _MAX_HEADER_BYTES)
    except ImageError as error:
        if error.code != "missing":
            raise
        head = None
    rows = _read(companion(path, ".adc"), adc.MAX_BYTES)
    if head == b"" == rows:
        raise ImageError("empty_file", "the .hdr and the .adc have 0 bytes: no bin was written")
    header = parse_header(head or b"")
    declared = _declared_columns(header)
    columns = declared if _COLUMNS[2].keys() <= declared.keys() else _COLUMNS[version]
    table = adc.parse_adc(rows)
    numbers, valid = zip(*(table.integers(columns[name]) for name in _COLUMNS[2]), strict=True)
    trigger, x, y, width, height, start = numbers
    roi = companion(path, ".roi")
    try:
        roi_bytes = _regular(roi).st_size
    except ImageError as error:
        images = int(np.count_nonzero((width > 0) & (height > 0)))
        if error.code != "missing" or not images:
            raise
        raise ImageError("missing", f"no file {roi.name}, which held {images} image(s)") from None
    state = _states(np.logical_and.reduce(valid), width, height, start, roi_bytes)
    rois = Rois(start, width, height, state, table.lines, roi_bytes)
    return Bin(version, header, table, columns, rois, trigger, x, y)


def parse_header(raw: bytes) -> dict[str, str]:
    """The ``key: value`` lines of a ``.hdr`` (version 1 has none); keys in lower case."""
    header: dict[str, str] = {}
    for line in raw.decode("latin-1").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            header.setdefault(key.strip().lower(), value.strip())
    return header


def _declared_columns(header: Mapping[str, str]) -> dict[str, int]:
    names = header.get("adcfileformat", "").lower().split(",")
    return {re.sub("[^a-z]", "", name): place for place, name in enumerate(names)}


def _states(
    valid: NDArray[np.bool_],
    width: NDArray[np.int64],
    height: NDArray[np.int64],
    start: NDArray[np.int64],
    roi_bytes: int,
) -> NDArray[np.uint8]:
    bounded = (width <= MAX_PIXELS) & (height <= MAX_PIXELS)  # so that the product fits an int64
    pixels = np.where(bounded, width * np.where(bounded, height, 0), MAX_PIXELS + 1)
    empty = (width == 0) | (height == 0)
    negative = (width < 0) | (height < 0) | (start < 0)
    states = np.select(
        [~valid, empty, negative, pixels > MAX_PIXELS, start + pixels > roi_bytes],
        [
            RowState.NO_NUMBERS,
            RowState.NO_IMAGE,
            RowState.NEGATIVE,
            RowState.TOO_LARGE,
            RowState.BEYOND_END,
        ],
        RowState.IMAGE,
    )
    return states.astype(np.uint8)


def _regular(path: Path) -> os.stat_result:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("missing", f"no file {path.name}") from None
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
        raise ImageError("not_an_image", f"{path.name} is no regular file")
    return found


def _read(path: Path, limit: int) -> bytes:
    try:
        size = _regular(path).st_size
        if size > limit:
            raise ImageError(
                "too_large", f"{path.name} has {size:,} bytes; at most {limit:,} are read"
            )
        with path.open("rb") as file:
            return file.read(limit)
    except PermissionError:
        raise ImageError("permission_denied", f"{path.name} may not be read") from None
    except OSError as error:
        raise ImageError("unreadable", f"{path.name}: {error.strerror or error}") from error
