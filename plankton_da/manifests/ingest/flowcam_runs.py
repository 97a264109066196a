"""What a FlowCam run's other files say about the run as a whole."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from plankton_da.manifests.ingest.flowcam_collages import COLLAGE
from plankton_da.manifests.ingest.flowcam_lists import Particle
from plankton_da.manifests.ingest.places import as_text
from plankton_da.manifests.pixel_sizes import in_micrometres

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


class Run:
    """One list: what all its particles share."""

    def __init__(self, path: Path, prefix: str, names: Mapping[str, str]) -> None:
        self._path = path
        self._prefix = prefix
        self._names = names
        self._start = f"{prefix}{as_text(path.stem)}"
        self._facts: RunFacts | None = None
        self._group = ""
        self._sizes: dict[str, tuple[str, str]] = {}

    def row(self, particle: Particle, ref: str) -> tuple[str, ...]:
        """A row of the manifest, in the order of ``flowcam``'s columns, without the instrument."""
        if self._facts is None:
            # the list may be a selection, or be called metadata.lst: collages bear the run's name
            named = COLLAGE.fullmatch(particle.collage)
            run = named[1] if named else self._path.stem
            self._group = f"{self._prefix}{as_text(run)}"
            self._facts = read_facts(self._path.parent, self._names, [self._path.stem, run])
        facts = self._facts
        return (
            f"{self._start}/{particle.number}",
            ref,
            self._group,
            self._size(particle.pixel_size),
            particle.number,
            particle.image_id,
            particle.ppc,
            particle.time,
            particle.esd_um,
            particle.abd_um,
            facts.volume_ml,
            facts.dilution,
            facts.magnification,
            facts.flow_cell,
            facts.start,
        )

    def remarks(self, particles: int) -> list[str]:
        """Sentences about contradictions between the run's files."""
        said = [f"{self._path}: pixel size {why}" for _, why in self._sizes.values() if why]
        facts = self._facts
        if facts is None:
            return said
        if facts.particles and facts.particles.isdigit() and int(facts.particles) != particles:
            said.append(
                f"{self._path}: lists {particles} particles, but the run's summary counts "
                f"{facts.particles}; volume_ml is that of the whole run"
            )
        return said

    def _size(self, stated: str) -> str:
        if stated not in self._sizes:
            self._sizes[stated] = self._settle_size(stated)
        return self._sizes[stated][0]

    def _settle_size(self, stated: str) -> tuple[str, str]:
        elsewhere = self._facts.pixel_size if self._facts else ""
        number = _positive(stated)
        if number is None:
            number = _positive(elsewhere)
            if number is None:
                return "", f"{stated!r} in the list is none, and no other file of the run has one"
        elif (other := _positive(elsewhere)) and abs(other / number - 1) > 0.001:
            side, why = in_micrometres(number, "um")
            also = f"{stated} µm in the list, {elsewhere} µm beside it; the list's is taken"
            return ("" if side is None else f"{side:.6g}", f"{also}; {why}" if why else also)
        side, why = in_micrometres(number, "um")
        return "" if side is None else f"{side:.6g}", why


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
