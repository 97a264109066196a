"""EcoTaxa: tables (TSV) with their images, as imported and as exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from plankton_da.errors import DataError, ManifestError
from plankton_da.manifests.columns import OPTIONAL, REQUIRED, TEXT, column_of
from plankton_da.manifests.ecotaxa_tables import OWN_ID, is_empty
from plankton_da.manifests.ingest.ecotaxa_labels import labels_of
from plankton_da.manifests.ingest.ecotaxa_objects import image_ids, repeated
from plankton_da.manifests.ingest.ecotaxa_pixel_size import pixel_sizes
from plankton_da.manifests.ingest.ecotaxa_places import Places, TableFile
from plankton_da.manifests.ingest.ecotaxa_reading import TableContent, read_content
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.looks import look_at, remarks_on
from plankton_da.manifests.problems import SHOWN_PER_CODE

SUMMARY = "EcoTaxa bundles and exports: TSV tables and their images, in folders or archives"
COLUMNS: tuple[str, ...] = (
    *REQUIRED,
    "label",
    "group",
    "pixel_size_um",
    OWN_ID,
    "img_*",
    "object_*",
    "acq_*",
    "process_*",
    "sample_*",
)
OPTIONS = frozenset({"labelled", "all_labels"})

_REF, _WHERE = "image", "where"
_RESERVED = {*REQUIRED, *OPTIONAL, OWN_ID, _WHERE} - {"object_id"}


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every image that a table names and that is there, in the tables' order.

    ``object_id`` is EcoTaxa's for the first image (lowest ``img_rank``) of an object, and
    ``ID#2``, ``ID#3`` for further ones; EcoTaxa's own stands in ``ecotaxa_id`` in each case. The
    original of a vignette (``img_rank`` 100) is left out where the vignette is there. ``group`` is
    the sample's id, else the acquisition's. ``label`` is the category where its status is
    ``validated``, or any where ``all_labels`` is set. All columns of the tables are carried on, so
    that what is exported later updates the same objects.

    Parameters
    ----------
    inputs
        tables, folders or archives
    instrument
        the camera's name, for every row
    out
        the manifest to be; refs are relative to its folder
    options
        ``labelled`` and ``all_labels``

    Raises
    ------
    DataError
        An input is not there.
    ManifestError
        No row could be made of any table; the message says why.
    """
    _check_inputs(inputs)
    root = out.absolute().parent
    places = Places(root)
    failed = places.failed
    remarks: list[str] = []
    parts: list[pa.Table] = []
    for file in _distinct(inputs, places):
        try:
            content = read_content(file)
        except ManifestError as error:
            failed.append((file.place, str(error)))
            continue
        failed.extend(content.failed)
        remarks.extend(content.remarks)
        parts.append(_with_images(file, content, failed))
    rows = _joined(parts, remarks)
    unnamed = places.images - rows[_REF].nunique()
    if unnamed > 0:
        remarks.append(f"image files that no row names: {unnamed}")
    again, words = repeated(rows)
    failed.extend(zip(rows.loc[again, _WHERE], words, strict=True))
    rows = _without(rows, again.to_numpy(dtype=bool))
    look = look_at(rows[_REF], root)
    failed.extend((rows[_WHERE].iloc[row], str(bad)) for row, bad in look.damaged.items())
    rows = _without(rows, np.isin(rows.index, list(look.damaged)))
    if rows.empty:
        raise ManifestError(_nothing(inputs, failed))
    remarks.extend(remarks_on(look, instrument))
    if look.damaged:
        remarks.append(
            f"images opened: {look.opened}, of which {len(look.damaged)} are damaged; "
            "plankton-da manifest check --open-images opens all"
        )
    rows, ids = image_ids(rows, remarks)
    table = _manifest(rows, ids, instrument, options, remarks)
    return IngestResult(table, [], places.hidden, failed, remarks)


def _without(rows: pd.DataFrame, left_out: NDArray[np.bool_]) -> pd.DataFrame:
    return rows[~left_out].reset_index(drop=True) if left_out.any() else rows


def _check_inputs(inputs: Sequence[Path]) -> None:
    problems = [
        f"{path}: {'not a file or folder' if path.exists() else 'no such file or folder'}"
        for path in inputs
        if not (path.is_file() or path.is_dir())
    ]
    if problems:
        raise DataError("\n".join(problems))


def _distinct(inputs: Sequence[Path], places: Places) -> list[TableFile]:
    """The inputs' tables, each once, even where one input contains another."""
    found = {file.place: file for path in inputs for file in places.tables(path.absolute())}
    return list(found.values())


def _with_images(file: TableFile, content: TableContent, failed: list[tuple[str, str]]) -> pa.Table:
    """The rows whose image is there, with its ref and the row's place."""
    ids = content.table["object_id"].to_pylist()
    names = content.table["img_file_name"].to_pylist()
    refs: list[str] = []
    where: list[str] = []
    kept: list[int] = []
    missing: list[tuple[str, str]] = []
    for row, (own_id, name, line) in enumerate(
        zip(ids, names, content.lines.tolist(), strict=True)
    ):
        place = f"{file.place}:{line}"
        if not own_id.strip():
            failed.append((place, "object_id is empty"))
        elif not name.strip():
            failed.append((place, "img_file_name is empty"))
        elif (ref := file.images.ref(name.strip())) is None:
            missing.append((f"{place}: {name.strip()}", "no such image beside the table"))
        else:
            kept.append(row)
            refs.append(ref)
            where.append(place)
    failed.extend(missing)
    names_of = {
        name: f"table_{name}" if name in _RESERVED else name for name in content.table.column_names
    }
    table = content.table.rename_columns([names_of[name] for name in content.table.column_names])
    if len(kept) < len(table):
        table = table.take(pa.array(kept, pa.int64()))
    table = table.append_column(_REF, pa.array(refs, pa.large_string()))
    return table.append_column(_WHERE, pa.array(where, pa.large_string()))


def _joined(parts: Sequence[pa.Table], remarks: list[str]) -> pd.DataFrame:
    """All tables' rows in one, '' where a table lacks a column of another."""
    if not parts:
        return pd.DataFrame(
            {_REF: [], _WHERE: [], "object_id": [], "img_file_name": []}, dtype=TEXT
        )
    table = pa.concat_tables(parts, promote_options="default")
    filled = [column.fill_null("") if column.null_count else column for column in table.columns]
    frame: pd.DataFrame = pa.table(filled, names=table.column_names).to_pandas(
        types_mapper={pa.large_string(): TEXT}.get
    )
    renamed = [name for name in frame.columns if name.removeprefix("table_") in _RESERVED]
    renamed = [name for name in renamed if name.startswith("table_")]
    if renamed:
        remarks.append(f"columns that would be taken for a manifest's: {', '.join(renamed)}")
    return frame


def _manifest(
    rows: pd.DataFrame,
    ids: pd.Series[str],
    instrument: str,
    options: IngestOptions,
    remarks: list[str],
) -> pd.DataFrame:
    constant = pd.Series(instrument, index=rows.index, dtype=TEXT)
    columns = {"object_id": ids, "image": rows[_REF], "instrument": constant}
    if options.labelled:
        columns["label"] = labels_of(rows, options.all_labels, remarks)
    columns["group"] = _groups(rows)
    columns["pixel_size_um"], said = pixel_sizes(rows)
    remarks.extend(said)
    columns = {
        name: column
        for name, column in columns.items()
        if name not in ("group", "pixel_size_um") or (column != "").any()
    }
    columns[OWN_ID] = rows["object_id"]
    free = [name for name in rows.columns if name not in (_REF, _WHERE, "object_id")]
    return pd.DataFrame(columns | {name: rows[name] for name in free})


def _groups(rows: pd.DataFrame) -> pd.Series[str]:
    """Sample, else acquisition, else the object where it has several images."""
    groups = np.full(len(rows), "", dtype=object)
    for name in ("sample_id", "acq_id"):
        values = column_of(rows, name).to_numpy(dtype=object)
        groups = np.where((groups == "") & ~_empty(values), values, groups)
    own = rows["object_id"].to_numpy(dtype=object)
    several = rows["object_id"].duplicated(keep=False).to_numpy(dtype=bool)
    groups = np.where((groups == "") & several, own, groups)
    return pd.Series(groups, index=rows.index, dtype=TEXT)


def _empty(values: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array([is_empty(value) for value in values], dtype=bool)


def _nothing(inputs: Sequence[Path], failed: Sequence[tuple[str, str]]) -> str:
    listed = ", ".join(map(str, inputs))
    lines = [f"{place}: {why}" for place, why in failed[:SHOWN_PER_CODE]]
    if len(failed) > len(lines):
        lines.append(f"... and {len(failed) - len(lines)} more")
    if not failed:
        return (
            f"{listed}: no EcoTaxa table found; expected ecotaxa*.tsv or .txt, or a table with the "
            "columns object_id and img_file_name"
        )
    way_out = "names of images count from the folder of their table: put both where they belong"
    return "\n".join([f"{listed}: no row could be made; {way_out}", *lines])
