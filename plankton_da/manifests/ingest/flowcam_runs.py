"""What a FlowCam run's other files say about the run as a whole."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_LARGEST = 1 << 20  # bytes; such a file has 5,000

_CTX = {
    "RunStartTime": "start",
    "CalibrationConstant": "pixel_size",
    "CameraMagnification": "magnification",
    "FlowCellType": "flow_cell",
    "FluidVolumeImaged_ml": "volume_ml",
    "SampleDilution": "dilution",
}
_SUMMARY = {
    "Start": "start",
    "Start Time": "start",
    "Calibration Factor": "pixel_size",
    "Magnification": "magnification",
    "Fluid Volume Imaged": "volume_ml",
    "Fluid Volume Imaged ml": "volume_ml",
    "Sample Volume Imaged": "volume_ml",
    "Sample Volume Imaged ml": "volume_ml",
    "Particle Count": "particles",
    "Count": "particles",
}
_NUMBER = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True)
class RunFacts:
    """Texts as the files have them; '' where none says so."""

    volume_ml: str = ""
    """of the sample that was imaged, not of what was pumped"""
    particles: str = ""
    """images that the run took"""
    pixel_size: str = ""
    """µm"""
    magnification: str = ""
    """10 for 10X"""
    flow_cell: str = ""
    """such as FC100"""
    dilution: str = ""
    start: str = ""
    """start of imaging, which is not when the sample was taken"""


def read_facts(folder: Path, names: Mapping[str, str], stems: list[str]) -> RunFacts:
    """A run's facts from its ``_summary.csv``, else its ``_run_summary.txt``, else its ``.ctx``.

    Parameters
    ----------
    names
        the folder's files by their names in lower case
    stems
        names that the run may go by
    """
    found: dict[str, str] = {}
    for ending, read in _READERS.items():
        for stem in stems:
            name = names.get(f"{stem}{ending}".lower())
            for key, value in _facts(folder / name, read) if name else ():
                found.setdefault(key, value)
    return RunFacts(**found)


def _facts(
    path: Path, read: Callable[[str], Iterator[tuple[str, str]]]
) -> Iterator[tuple[str, str]]:
    try:
        with path.open("rb") as stream:
            text = stream.read(_LARGEST).decode("latin-1")
    except OSError:
        return
    for key, value in read(text):
        value = " ".join(value.split())
        if key in ("volume_ml", "particles", "pixel_size", "magnification", "dilution"):
            number = _NUMBER.match(value)
            value = number[0] if number and math.isfinite(float(number[0])) else ""
            if value and float(value) == 0:  # what the software writes where it does not know
                value = ""
        if value:
            yield key, value


def _summary_csv(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, _, value = line.partition(",")
        if key.strip() in _SUMMARY:
            yield _SUMMARY[key.strip()], value


def _run_summary(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in _SUMMARY:
            yield _SUMMARY[key.strip()], value


def _context(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() in _CTX:
            yield _CTX[key.strip()], value


_READERS: dict[str, Callable[[str], Iterator[tuple[str, str]]]] = {
    "_summary.csv": _summary_csv,
    "_run_summary.txt": _run_summary,
    ".ctx": _context,
}
