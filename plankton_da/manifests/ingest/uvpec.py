"""Training sets of uvpec, UVP6's classifier: one folder per taxon, ``Name__ID``.

ID is the taxon's number in EcoTaxa, which stays when a taxon is renamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plankton_da.images.archives import ARCHIVE_SUFFIXES
from plankton_da.manifests.ecotaxa_tables import CATEGORY_ID
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.pictures import Pictures
from plankton_da.manifests.ingest.places import open_inputs
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.rows import Rows

SUMMARY = "uvpec training sets: folders Name__ID (zipped or not); EcoTaxa's ID is kept"
COLUMNS: tuple[str, ...] = ("object_id", "image", "instrument", "label", CATEGORY_ID)
OPTIONS: frozenset[str] = frozenset()


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every image in a folder ``Name__ID``: the name is the label, the ID a free column.

    An image's folder is the one that it lies in; folders around the taxa's (a project, a cruise)
    mean nothing. A folder without ID gives its name as the label, and a remark.

    Parameters
    ----------
    inputs
        the folder or zip that holds the taxa's folders
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
        No image was found.
    """
    places = open_inputs(inputs, "the folder, or the zip, of Name__ID folders", ARCHIVE_SUFFIXES)
    pictures = Pictures(out.absolute().parent)
    rows = Rows(("object_id", "image", "label", CATEGORY_ID))
    ids: dict[str, set[str]] = {}
    for place in places:
        for picture in pictures.of(place):
            folder = picture.parts[-2] if len(picture.parts) > 1 else place.path.stem
            name, bars, number = folder.rpartition("__")
            if not (bars and name and number.isdecimal()):
                name, number = folder, ""
            ids.setdefault(name, set()).add(number)
            rows.add((f"{place.prefix}{picture.path}", picture.ref, name, number))
    result = pictures.result(rows, "<Name>__<ID>/<image>", instrument)
    for name, numbers in sorted(ids.items()):
        if "" in numbers:
            result.remarks.append(f"{name}: the folder's name does not end with __ID; no taxon id")
        elif len(numbers) > 1:
            listed = ", ".join(sorted(numbers))
            result.remarks.append(f"{name}: one label for several taxa of EcoTaxa ({listed})")
    return result
