"""FlowCam runs: a list of particles and the collages that hold their images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from plankton_da.errors import ManifestError, UsageError
from plankton_da.manifests.ingest.flowcam_collages import Collages
from plankton_da.manifests.ingest.flowcam_lists import ParticleList, is_particle_table
from plankton_da.manifests.ingest.flowcam_runs import Run
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.places import Input, as_text, open_inputs
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.rows import Rows
from plankton_da.manifests.ingest.walk import Walk, no_regular_file
from plankton_da.manifests.problems import SHOWN_PER_CODE

SUMMARY = "FlowCam runs: .lst (or exported .csv) and collages, which stay as they are"
_COLUMNS = (
    "object_id",
    "image",
    "group",
    "pixel_size_um",
    "particle",
    "image_id",
    "ppc",
    "imaging_time",
    "esd_um",
    "abd_diameter_um",
    "volume_ml",
    "dilution",
    "magnification",
    "flow_cell",
    "run_start",
)
COLUMNS: tuple[str, ...] = (*_COLUMNS[:2], "instrument", *_COLUMNS[2:])
OPTIONS: frozenset[str] = frozenset()


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every particle of every list below the inputs, in the lists' order.

    ``image`` is the particle's box in its collage, ``object_id`` the list's path relative to the
    input, without suffix, and the particle's number, ``group`` the run. A particle that two lists
    of a folder name (one may be a selection of the other) stands in the table once.

    Parameters
    ----------
    inputs
        folders, .lst files or .csv files that VisualSpreadsheet exported
    instrument
        the camera's name, for every row
    out
        the manifest to be; refs are relative to its folder
    options
        none is understood

    Raises
    ------
    UsageError
        An input is not there or of another kind, or two have the same name.
    ManifestError
        No particle was found.
    """
    places = open_inputs(inputs, "a folder, or a run's .lst or .csv", (".lst", ".csv"))
    reading = _Reading(out.absolute().parent)
    walk = Walk(no_regular_file)
    for place in places:
        for folder, prefix, names, chosen in _folders(place, walk):
            reading.folder(folder, prefix, names, chosen)
    reading.skipped[:0] = walk.skipped
    reading.failed[:0] = walk.failed
    if not len(reading.rows):
        raise ManifestError(_nothing(inputs, reading))
    table = reading.rows.table(instrument)
    return IngestResult(
        table, reading.skipped, walk.hidden, failed=reading.failed, remarks=reading.remarks
    )


def _folders(place: Input, walk: Walk) -> Iterator[tuple[Path, str, list[str], str | None]]:
    """Folder, what its ids start with, names of its files, and the one list to read (None: all)."""
    if not place.is_folder:
        folder = place.path.parent
        yield folder, "", sorted(os.listdir(folder)), place.path.name
        return
    for below, names in walk.files(place.path):
        prefix = f"{place.prefix}{as_text(below)}/" if below else place.prefix
        yield place.path / below, prefix, names, None


class _Reading:
    """What the lists gave so far."""

    def __init__(self, relative_to: Path) -> None:
        self.rows = Rows(_COLUMNS)
        self.skipped: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []
        self.remarks: list[str] = []
        self._relative_to = relative_to

    def folder(self, folder: Path, prefix: str, names: list[str], chosen: str | None) -> None:
        lists = [name for name in names if name.lower().endswith(".lst")]
        stems = {name[:-4].lower() for name in lists}
        lists += [
            name
            for name in names
            if name.lower().endswith(".csv")
            and (name == chosen or name[:-4].lower() not in stems)
            and is_particle_table(folder / name)
        ]
        if chosen is not None:
            if chosen not in lists:
                raise UsageError(
                    f"{folder / chosen}: no list of particles; a .csv is to have the columns that "
                    "VisualSpreadsheet exports (Particle ID, Image File, Image X, ...)"
                )
            lists = [chosen]
        collages = Collages(folder, names, self._relative_to)
        for name in lists:
            self._list(folder / name, prefix, collages)
        if lists and chosen is None:
            self.skipped += [(str(folder / name), why) for name, why in collages.unnamed()]

    def _list(self, path: Path, prefix: str, collages: Collages) -> None:
        run = Run(path, prefix, collages.names)
        particles = ParticleList(path)
        lines: dict[str, int] = {}
        trouble: Counter[str] = Counter()
        again = 0
        try:
            for particle in particles:
                place = f"{path}:{particle.line}"
                first = lines.setdefault(particle.number, particle.line)
                if first != particle.line:
                    why = f"particle {particle.number} stands in line {first} already"
                    self.failed.append((place, why))
                elif why := collages.refuse(particle):
                    if particle.collage in collages.broken:
                        trouble[particle.collage] += 1
                    else:
                        self.failed.append((place, why))
                elif collages.is_first(particle):
                    self.rows.add(run.row(particle, collages.ref(particle)))
                else:
                    again += 1
        except (ManifestError, OSError) as error:
            self.failed.append((str(path), str(getattr(error, "strerror", "") or error)))
        self.failed += [(f"{path}:{line}", why) for line, why in particles.faults]
        self.failed += [
            (f"{path.parent / name} ({count} particles)", collages.broken[name])
            for name, count in trouble.items()
        ]
        if again:
            why = f"{again} particle(s) stand in another list of this folder already"
            self.skipped.append((str(path), why))
        self.remarks += run.remarks(len(lines))


def _nothing(inputs: Sequence[Path], reading: _Reading) -> str:
    listed = ", ".join(map(str, inputs))
    lines = [f"{place}: {why}" for place, why in (*reading.failed, *reading.skipped)]
    if len(lines) > SHOWN_PER_CODE:
        lines[SHOWN_PER_CODE:] = [f"... and {len(lines) - SHOWN_PER_CODE} more"]
    expected = "a .lst (or a .csv that VisualSpreadsheet exported) beside its collages"
    return "\n".join([f"{listed}: no particle found; expected {expected}", *lines])
