"""FlowCam runs: a list of particles and the collages that hold their images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from plankton_da.errors import ManifestError, UsageError
from plankton_da.manifests.ingest.flowcam_collages import COLLAGE, Collages
from plankton_da.manifests.ingest.flowcam_lists import Particle, ParticleList, is_particle_table
from plankton_da.manifests.ingest.flowcam_runs import RunFacts, read_facts
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.places import Input, as_text, open_inputs
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.rows import Rows
from plankton_da.manifests.ingest.walk import Walk, no_regular_file
from plankton_da.manifests.pixel_sizes import in_micrometres
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
        run = _Run(path, prefix, collages.names)
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


class _Run:
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
        """In the order of ``_COLUMNS``."""
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


def _nothing(inputs: Sequence[Path], reading: _Reading) -> str:
    listed = ", ".join(map(str, inputs))
    lines = [f"{place}: {why}" for place, why in (*reading.failed, *reading.skipped)]
    if len(lines) > SHOWN_PER_CODE:
        lines[SHOWN_PER_CODE:] = [f"... and {len(lines) - SHOWN_PER_CODE} more"]
    expected = "a .lst (or a .csv that VisualSpreadsheet exported) beside its collages"
    return "\n".join([f"{listed}: no particle found; expected {expected}", *lines])
