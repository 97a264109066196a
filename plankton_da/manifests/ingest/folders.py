"""Folders of image files, one sub-folder per label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from plankton_da.errors import ManifestError, UsageError
from plankton_da.images.refs import encode_name, ref_of
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.copies import COPIES_FILE, restore_ids
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.walk import Walk
from plankton_da.manifests.problems import SHOWN_PER_CODE

SUMMARY = "folders of image files; the sub-folder's name is the label"
COLUMNS: tuple[str, ...] = ("object_id", "image", "instrument", "label")
OPTIONS = frozenset({"labelled"})
_ROWS_AT_ONCE = 1 << 17


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every image file below the inputs, in a stable order.

    The label is the name of the sub-folder of the input, however deep the file lies in it. The
    ``object_id`` is the path relative to the input, with extension, after the input's name where
    there are several inputs. A folder that is reached twice by links is entered once. Copies that
    ``audit select`` made to be sorted get the ids of what they are copies of.

    Parameters
    ----------
    inputs
        folders
    instrument
        the camera's name, for every row
    out
        the manifest to be; refs are relative to its folder
    options
        ``labelled=False``: no column ``label``; sub-folders mean nothing

    Raises
    ------
    UsageError
        An input is not a folder, or two have the same name.
    ManifestError
        No image was found.
    """
    folders = _checked(inputs)
    labelled = options.labelled
    walk = Walk()
    columns = ["object_id", "image", *(["label"] if labelled else [])]
    parts: list[pa.Table] = []
    rows: list[tuple[str, ...]] = []
    for folder in folders:
        prefix = f"{_text(folder.name)}/" if len(folders) > 1 else ""
        for row in _rows(folder, prefix, walk, out.absolute().parent, labelled):
            rows.append(row)
            if len(rows) == _ROWS_AT_ONCE:
                parts.append(_as_table(rows, columns))
                rows = []
    parts.append(_as_table(rows, columns))
    table = (
        pa.concat_tables(parts)
        .combine_chunks()
        .to_pandas(types_mapper={pa.large_string(): TEXT}.get)
    )
    if table.empty:
        raise ManifestError(_nothing(folders, walk, labelled))
    table.insert(2, "instrument", pd.Series(instrument, index=table.index, dtype=TEXT))
    if any((folder / COPIES_FILE).is_file() for folder in folders):
        table = pd.concat(
            [restore_ids(rows, folder, instrument) for folder, rows in _by_folder(table, folders)]
        )
        table = table.fillna("").reset_index(drop=True)
    return IngestResult(table, walk.skipped, walk.hidden)


def _by_folder(table: pd.DataFrame, folders: Sequence[Path]) -> Iterator[tuple[Path, pd.DataFrame]]:
    for folder in folders:
        mine = table["object_id"].str.startswith(f"{_text(folder.name)}/")
        yield folder, table[mine] if len(folders) > 1 else table


def _rows(
    folder: Path, prefix: str, walk: Walk, relative_to: Path, labelled: bool
) -> Iterator[tuple[str, ...]]:
    for below, names in walk.image_files(folder):
        if labelled and not below:
            why = "lies in no sub-folder, so that it has no label; see --unlabelled"
            walk.skipped.extend((os.path.join(folder, name), why) for name in names)
            continue
        inside = f"{prefix}{_text(below)}/" if below else prefix
        ref = ref_of(folder / below, relative_to)
        ref = "" if ref == "." else f"{ref}/"
        label = _text(below.split(os.sep)[0])
        for name in names:
            row = (f"{inside}{_text(name)}", f"{ref}{encode_name(name)}")
            yield (*row, label) if labelled else row


def _text(name: str) -> str:
    """A name for people: as it is, unless bytes in it are no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return encode_name(name)
    return name.replace(os.sep, "/")


def _as_table(rows: Sequence[tuple[str, ...]], columns: Sequence[str]) -> pa.Table:
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pa.table(
        {name: pa.array(v, pa.large_string()) for name, v in zip(columns, values, strict=True)}
    )


def _checked(inputs: Sequence[Path]) -> list[Path]:
    problems = []
    for path in inputs:
        if not path.exists():
            problems.append(f"{path}: no such folder")
        elif not path.is_dir():
            problems.append(f"{path}: not a folder; name the folder that holds the image files")
    folders = [path.resolve() for path in inputs]
    names = [folder.name for folder in folders]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(
            f"{names.count(name)} inputs are called {name!r}, so that ids would not be unique; "
            "build one manifest for each, or name the folder above them"
        )
    if problems:
        raise UsageError("\n".join(problems))
    return folders


def _nothing(folders: Sequence[Path], walk: Walk, labelled: bool) -> str:
    listed = ", ".join(str(folder) for folder in folders)
    lines = [f"{path}: {why}" for path, why in walk.skipped[:SHOWN_PER_CODE]]
    if len(walk.skipped) > len(lines):
        lines.append(f"... and {len(walk.skipped) - len(lines)} more")
    expected = "DIR/<label>/<image>" if labelled else "image files"
    return "\n".join([f"{listed}: no image found; expected {expected}", *lines])
