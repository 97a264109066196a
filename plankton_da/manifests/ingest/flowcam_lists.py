"""FlowCam's lists of particles: the run's ``.lst``, or the ``.csv`` that VisualSpreadsheet exports.

A ``.lst`` is latin-1: a version line, ``num-fields|N``, N lines ``name|type``, then a line of N
values for each particle, all with ``|`` between. Which fields there are differs between versions of
the software, under the same version line, so they are taken by name.
"""

from __future__ import annotations

import csv
import ntpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from plankton_da.errors import ManifestError

_LONGEST_LINE = 1 << 20  # bytes
_MOST_FIELDS = 1000
_WHOLE = re.compile(r"\d{1,9}")

_BOX = ("x", "y", "width", "height")
_NEEDED = ("number", *_BOX, "collage")
_LST_FIELDS = {
    "number": "id",
    "x": "image_x",
    "y": "image_y",
    "width": "image_w",
    "height": "image_h",
    "collage": "collage_file",
    "pixel_size": "cal_const",
    "ppc": "ppc",
    "time": "timestamp",
    "image_id": "image_id",
    "esd_um": "esd_diameter",
    "abd_um": "abd_diameter",
}
_CSV_FIELDS = {
    "number": "Particle ID",
    "x": "Image X",
    "y": "Image Y",
    "width": "Image Width",
    "height": "Image Height",
    "collage": "Image File",
    "pixel_size": "Calibration Factor",
    "ppc": "Particles Per Chain",
    "time": "Timestamp",
    "image_id": "Original Reference ID",
    "esd_um": "Diameter (ESD)",
    "abd_um": "Diameter (ABD)",
}


@dataclass(frozen=True, slots=True)
class Particle:
    """One line of a list; texts as they stand, '' where the list has no such field."""

    line: int
    number: str
    box: tuple[int, int, int, int]
    """x, y, width, height in the collage, pixels"""
    collage: str
    """name of the collage's file, without folders"""
    pixel_size: str
    """µm"""
    ppc: str
    """particles per chain: an image may show several"""
    time: str
    """when it was imaged, which is not when it was sampled"""
    image_id: str
    esd_um: str
    abd_um: str


@dataclass
class ParticleList:
    """Iterating reads the file.

    ``faults`` fills with (line, why) of lines that give no particle.
    """

    path: Path
    faults: list[tuple[int, str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Particle]:
        """Raises ManifestError where the file is no list, OSError where it cannot be read."""
        lines = _lines(self.path)
        if self.path.suffix.lower() == ".lst":
            rows, fields = _split(lines), _LST_FIELDS
            names = _lst_header(lines)
        else:
            reader = csv.reader((line for _, line in lines), delimiter=_delimiter(self.path))
            rows, fields = _csv_rows(reader), _CSV_FIELDS
            names = next(rows, (0, []))[1]
        places = {ours: names.index(theirs) for ours, theirs in fields.items() if theirs in names}
        if lacking := [fields[name] for name in _NEEDED if name not in places]:
            raise ManifestError(f"the field(s) {', '.join(lacking)} are not declared")
        for line, values in rows:
            if not any(values):
                continue
            if len(values) == len(names) + 1 and not values[-1]:
                values.pop()
            if len(values) != len(names):
                why = f"a line does not have the {len(names)} values that are declared"
                self.faults.append((line, why))
            elif why := _fault(values, places):
                self.faults.append((line, why))
            else:
                yield _particle(line, values, places)


def is_particle_table(path: Path) -> bool:
    """Whether a ``.csv`` has the columns of VisualSpreadsheet's export of particles."""
    try:
        with path.open("rb") as stream:
            header = stream.readline(_LONGEST_LINE).decode("latin-1")
    except OSError:
        return False
    return all(_CSV_FIELDS[name] in header for name in _NEEDED)


def _particle(line: int, values: list[str], places: Mapping[str, int]) -> Particle:
    texts = {name: values[place].strip() for name, place in places.items()}
    x, y, width, height = (int(texts[name]) for name in _BOX)
    return Particle(
        line,
        texts["number"],
        (x, y, width, height),
        ntpath.basename(texts["collage"]),  # a Windows program wrote it
        texts.get("pixel_size", ""),
        texts.get("ppc", ""),
        texts.get("time", ""),
        texts.get("image_id", ""),
        texts.get("esd_um", ""),
        texts.get("abd_um", ""),
    )


def _fault(values: list[str], places: Mapping[str, int]) -> str:
    numbers = {name: values[places[name]].strip() for name in ("number", *_BOX)}
    if any(not _WHOLE.fullmatch(number) for number in numbers.values()):
        return "the particle's number or its place in the collage are no whole numbers"
    if not int(numbers["width"]) or not int(numbers["height"]):
        return "the particle's image is 0 pixels wide or high"
    if ntpath.basename(values[places["collage"]].strip()) in ("", ".", ".."):
        return "the line names no collage"
    return ""


def _lst_header(lines: Iterator[tuple[int, str]]) -> list[str]:
    _, version = next(lines, (0, ""))
    _, promise = next(lines, (0, ""))
    key, _, number = promise.partition("|")
    if not version.strip().isdigit() or key.strip() != "num-fields" or not _WHOLE.fullmatch(number):
        raise ManifestError(
            "no FlowCam list: line 1 is to hold a version such as 017, line 2 num-fields|N; found "
            f"{version[:40]!r} and {promise[:40]!r}"
        )
    if int(number) > _MOST_FIELDS:
        raise ManifestError(f"line 2 declares {number} fields; at most {_MOST_FIELDS} are read")
    names: list[str] = []
    for _ in range(int(number)):
        line, text = next(lines, (0, ""))
        name, bar, _ = text.partition("|")
        if not bar:
            raise ManifestError(
                f"line 2 declares {number} fields, but after {len(names)} of them stands "
                f"{text[:40]!r}" + (f" (line {line})" if line else "")
            )
        names.append(name.strip())
    return names


def _split(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for line, text in lines:
        yield line, text.split("|")


def _csv_rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    line = 0
    while True:
        line += 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ManifestError(f"line {line} is not CSV: {error}") from error
        yield line, values


def _delimiter(path: Path) -> str:
    """What stands between the names of the columns; a comma where decimals have points."""
    with path.open("rb") as stream:
        header = stream.readline(_LONGEST_LINE).decode("latin-1")
    return max((",", ";", "\t"), key=header.count)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line."""
    with path.open("rb") as stream:
        for number in count(1):
            line = stream.readline(_LONGEST_LINE + 1)
            if not line:
                return
            if len(line) > _LONGEST_LINE:
                raise ManifestError(f"line {number} has more than {_LONGEST_LINE:,} bytes")
            yield number, line.decode("latin-1").rstrip("\r\n")
