"""DAPlankton: the same species seen by three instruments, in the laboratory and at sea.

Batrakhanov et al. 2024, "DAPlankton: benchmark dataset for multi-instrument plankton recognition
via fine-grained domain adaptation". Folders ``DAPlankton_lab/{CS,FC,IFCB}/<class>/`` and
``DAPlankton_sea/{CS,IFCB}/<class>/``, distributed as zips in a zip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plankton_da.errors import UsageError
from plankton_da.images.archives import ARCHIVE_SUFFIXES
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.pictures import Picture, Pictures
from plankton_da.manifests.ingest.places import open_inputs
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.rows import Rows

SUMMARY = "DAPlankton (zipped or not); --instrument CS, FC, IFCB, sea/CS, ... or all"
COLUMNS: tuple[str, ...] = ("object_id", "image", "instrument", "label", "licence", "part")
OPTIONS: frozenset[str] = frozenset({"labelled"})

INSTRUMENTS = {"CS": "CytoSense", "FC": "FlowCam", "IFCB": "Imaging FlowCytobot"}
_PARTS = ("lab", "sea")
_LICENCE = "CC BY 4.0"
_LAYOUT = "does not lie in <lab or sea>/<CS, FC or IFCB>/<class>/"


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for the images of one instrument, or of all; both ``.jpg`` and ``.png``.

    ``object_id`` is ``part/instrument/class/file``, since file names repeat between instruments and
    between the laboratory and the sea. An image that is there packed and unpacked is taken once.

    Parameters
    ----------
    inputs
        the folder or zip that was downloaded, or folders or zips in it
    instrument
        ``CS``, ``FC`` or ``IFCB``, after ``lab/`` or ``sea/`` where only that part is wanted; or
        ``all``, and each row gets the name of its own
    out
        the manifest to be; refs are relative to its folder
    options
        ``labelled=False``: no column ``label``

    Raises
    ------
    UsageError
        An input is not there or of another kind, or no such instrument.
    ManifestError
        There is no image of that instrument.
    """
    wanted_part, name = _wanted(instrument)
    places = open_inputs(inputs, "the folder, or the zip, of DAPlankton", ARCHIVE_SUFFIXES)
    pictures = Pictures(out.absolute().parent)
    labelled = options.labelled
    rows = Rows(("object_id", "image", "instrument", "licence", "part", *["label"] * labelled))
    taken: set[str] = set()
    for place in places:
        for picture in pictures.of(place):
            found = _place(picture, place.path)
            if found is None:
                pictures.skipped.append((picture.ref, _LAYOUT))
                continue
            part, camera, label = found
            if name not in ("all", camera) or wanted_part not in ("", part):
                continue
            object_id = "/".join(filter(None, (part, camera, label, picture.parts[-1])))
            if object_id in taken:
                pictures.skipped.append((picture.ref, "is there already, packed or unpacked"))
                continue
            taken.add(object_id)
            row = (object_id, picture.ref, camera, _LICENCE, part)
            rows.add((*row, label) if labelled else row)
    shown = "<CS, FC or IFCB>" if name == "all" else name
    expected = f"DAPlankton_{wanted_part or '<lab or sea>'}/{shown}/<class>/<image>"
    return pictures.result(rows, expected)


def _wanted(instrument: str) -> tuple[str, str]:
    part, slash, name = instrument.rpartition("/")
    name = name if name == "all" else name.upper()
    if name not in (*INSTRUMENTS, "all") or (slash and part.lower() not in _PARTS):
        listed = ", ".join(f"{short} ({long})" for short, long in INSTRUMENTS.items())
        raise UsageError(
            f"--instrument {instrument}: DAPlankton has {listed}; put lab/ or sea/ in front for "
            "one part of it (sea/CS), or say all"
        )
    return part.lower(), name


def _place(picture: Picture, place: Path) -> tuple[str, str, str] | None:
    """Part, instrument and class of an image; the INPUT itself may be any folder on the way."""
    parts = [part.removesuffix(".zip") for part in (*place.parts, *picture.parts)]
    if len(parts) < 3 or parts[-3].upper() not in INSTRUMENTS:
        return None
    names = [part.lower() for part in parts[:-3]]
    here = [part for name in reversed(names) for part in _PARTS if f"daplankton_{part}" in name]
    return here[0] if here else "", parts[-3].upper(), parts[-2]
