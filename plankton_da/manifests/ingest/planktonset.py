"""PlanktonSet 1.0 and the National Data Science Bowl made of it: ISIIS images.

Cowen et al. 2015, PlanktonSet 1.0, NOAA NCEI Accession 0127422; on Kaggle ``train/<class>/<n>.jpg``
and, without labels, ``test/<n>.jpg``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plankton_da.images.archives import ARCHIVE_SUFFIXES
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.pictures import Picture, Pictures
from plankton_da.manifests.ingest.places import open_inputs
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.rows import Rows

SUMMARY = "PlanktonSet 1.0 / Kaggle NDSB: train/<class>/<n>.jpg and test/, zipped or not"
COLUMNS: tuple[str, ...] = ("object_id", "image", "instrument", "label", "split")
OPTIONS: frozenset[str] = frozenset({"labelled"})

_NO_LABEL = "a test image without label; --unlabelled takes it"


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every image in a class folder; with ``labelled=False``, for every image.

    Images in class folders below ``test`` get the split ``test``; all others get none, so that
    training divides them. ``object_id`` is the path from ``train`` or ``test`` on.

    Parameters
    ----------
    inputs
        the folder or zip that holds ``train`` and ``test``, or one of the two
    instrument
        the camera's name, for every row
    out
        the manifest to be; refs are relative to its folder
    options
        ``labelled=False``: no columns ``label`` and ``split``

    Raises
    ------
    UsageError
        An input is not there or of another kind, or two have the same name.
    ManifestError
        No image was found.
    """
    places = open_inputs(inputs, "the folder, or the zip, of PlanktonSet", ARCHIVE_SUFFIXES)
    pictures = Pictures(out.absolute().parent)
    labelled = options.labelled
    rows = Rows(("object_id", "image", *["label", "split"] * labelled))
    for place in places:
        for picture in pictures.of(place):
            below, half = _from_half_on(picture, place.path)
            row = (f"{place.prefix}{'/'.join(below)}", picture.ref)
            if not labelled:
                rows.add(row)
            elif len(below) - bool(half) < 2:
                pictures.skipped.append((picture.ref, _NO_LABEL))
            else:
                rows.add((*row, below[-2], "test" if half == "test" else ""))
    return pictures.result(rows, "train/<class>/<n>.jpg", instrument)


def _from_half_on(picture: Picture, place: Path) -> tuple[tuple[str, ...], str]:
    """The path from the folder ``train`` or ``test`` on, and which of the two it is ('': neither).

    The folder may be the INPUT itself, and each may be a zip.
    """
    parts = (place.name, *picture.parts)
    for start in range(len(parts) - 2, -1, -1):
        half = parts[start].lower().removesuffix(".zip")
        if half in ("train", "test"):
            return (half, *parts[start + 1 :]), half
    return picture.parts, ""
