"""Folders of image files, one sub-folder per label; or a zip or tar of such folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from plankton_da.errors import ManifestError
from plankton_da.images.archives import ARCHIVE_SUFFIXES
from plankton_da.images.refs import encode_name, ref_of
from plankton_da.manifests.copies import COPIES_FILE, restore_ids
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.pictures import Pictures
from plankton_da.manifests.ingest.places import Input, as_text, open_inputs
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.rows import Rows
from plankton_da.manifests.ingest.walk import Walk
from plankton_da.manifests.problems import SHOWN_PER_CODE

SUMMARY = "folders (or a zip) of image files; the sub-folder's name is the label"
COLUMNS: tuple[str, ...] = ("object_id", "image", "instrument", "label")
OPTIONS = frozenset({"labelled"})
_NO_FOLDER = "lies in no sub-folder, so that it has no label; see --unlabelled"


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every image file below the inputs, in a stable order; archives stay packed.

    The label is the name of the sub-folder of the input, however deep the file lies in it. The
    ``object_id`` is the path relative to the input, with extension, after the input's name where
    there are several inputs. A folder that is reached twice by links is entered once. Copies that
    ``audit select`` made to be sorted get the ids of what they are copies of. Where all of an
    archive lies in one folder of folders, that is the archive's own and no label.

    Parameters
    ----------
    inputs
        folders, .zip or .tar files
    instrument
        the camera's name, for every row
    out
        the manifest to be; refs are relative to its folder
    options
        ``labelled=False``: no column ``label``; sub-folders mean nothing

    Raises
    ------
    DataError
        An input is not there, or neither a folder nor an archive.
    UsageError
        Two have the same name.
    ManifestError
        No image was found.
    """
    what = "the folder, or the zip, that holds the image files"
    places = open_inputs(inputs, what, ARCHIVE_SUFFIXES)
    labelled = options.labelled
    base = out.absolute().parent
    rows = Rows(("object_id", "image", *(["label"] if labelled else [])))
    walk, pictures, remarks = Walk(), Pictures(base), list[str]()
    for place in places:
        if place.is_folder:
            found = _in_folder(place, walk, base, labelled)
        else:
            found = _in_archive(place, pictures, labelled, remarks)
        for row in found:
            rows.add(row)
    skipped, failed = walk.skipped + pictures.skipped, walk.failed + pictures.failed
    if not len(rows):
        raise ManifestError(_nothing(inputs, [*failed, *skipped], labelled))
    table = rows.table(instrument, ("label",))
    if any((place.path / COPIES_FILE).is_file() for place in places):
        table = pd.concat(
            [restore_ids(part, folder, instrument) for folder, part in _by_input(table, places)]
        )
        table = table.fillna("").reset_index(drop=True)
    hidden = walk.hidden + pictures.hidden
    return IngestResult(table, skipped, hidden, failed, remarks)


def _by_input(table: pd.DataFrame, places: Sequence[Input]) -> Iterator[tuple[Path, pd.DataFrame]]:
    for place in places:
        mine = table["object_id"].str.startswith(place.prefix)
        yield place.path, table[mine] if place.prefix else table


def _in_folder(
    place: Input, walk: Walk, relative_to: Path, labelled: bool
) -> Iterator[tuple[str, ...]]:
    for below, names in walk.files(place.path):
        if labelled and not below:
            walk.skipped.extend((os.path.join(place.path, name), _NO_FOLDER) for name in names)
            continue
        inside = f"{place.prefix}{as_text(below)}/" if below else place.prefix
        ref = ref_of(place.path / below, relative_to)
        ref = "" if ref == "." else f"{ref}/"
        label = as_text(below.split(os.sep)[0])
        for name in names:
            row = (f"{inside}{as_text(name)}", f"{ref}{encode_name(name)}")
            yield (*row, label) if labelled else row


def _in_archive(
    place: Input, pictures: Pictures, labelled: bool, remarks: list[str]
) -> Iterator[tuple[str, ...]]:
    own = _own_folder(place) if labelled else ""
    if own:
        remarks.append(f"{place.path}: all lies in {own!r}, which is taken for no label")
    for picture in pictures.of(place):
        folders = picture.parts[1 if own else 0 : -1]
        row = (f"{place.prefix}{picture.path}", picture.ref)
        if not labelled:
            yield row
        elif folders:
            yield (*row, _without_suffix(folders[0]))
        else:
            pictures.skipped.append((f"{place.path}!{picture.path}", _NO_FOLDER))


def _own_folder(place: Input) -> str:
    """The one folder that holds all class folders of an archive; '' where there is none."""
    top = ""
    for picture in Pictures(place.path.parent).of(place):
        if len(picture.parts) < 3 or (top and picture.parts[0] != top):
            return ""
        top = picture.parts[0]
    return top


def _without_suffix(folder: str) -> str:
    """An archive in the archive is a folder too."""
    stem, suffix = os.path.splitext(folder)
    return stem if suffix.lower() in ARCHIVE_SUFFIXES else folder


def _nothing(inputs: Sequence[Path], left_out: Sequence[tuple[str, str]], labelled: bool) -> str:
    listed = ", ".join(map(str, inputs))
    lines = [f"{path}: {why}" for path, why in left_out[:SHOWN_PER_CODE]]
    if len(left_out) > len(lines):
        lines.append(f"... and {len(left_out) - len(lines)} more")
    expected = "DIR/<label>/<image>" if labelled else "image files"
    return "\n".join([f"{listed}: no image found; expected {expected}", *lines])
