"""Any table with a column of image paths."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.errors import ManifestError, UsageError, suggest
from plankton_da.images.refs import encode_name
from plankton_da.manifests.columns import OPTIONAL, REQUIRED, TEXT, arrow_of, column_of, encode
from plankton_da.manifests.distinct import has_repetitions
from plankton_da.manifests.ingest.options import IngestOptions, refuse_unknown_columns
from plankton_da.manifests.ingest.places import open_inputs
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.tables import SUFFIXES, LooseTable, read_loose_table
from plankton_da.manifests.pixel_sizes import column_in_micrometres, stated_unit
from plankton_da.manifests.presence import missing_images
from plankton_da.manifests.problems import SHOWN_PER_CODE
from plankton_da.manifests.table import rebase_refs

SUMMARY = "any table of image paths (.csv, .tsv, ; or tabs, .parquet); columns by --column"
COLUMNS: tuple[str, ...] = (*REQUIRED, *OPTIONAL)
OPTIONS: frozenset[str] = frozenset({"columns", "labelled"})
_GONE = "no such image"
_MARKS = re.compile("[%!#]")


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every row of the tables whose image is there.

    A column is taken for the manifest's of the same name, or for the one that ``--column`` says;
    all others are carried along. Paths are relative to the table's folder, or to the folder that
    stands among the inputs. Without a column for it, ``object_id`` is the path as the table has it.
    All rows get ``instrument``, unless ``--column instrument=...`` names a column.

    Parameters
    ----------
    inputs
        tables, and at most one folder where the images are
    instrument
        the camera's name
    out
        the manifest to be; refs are relative to its folder
    options
        ``columns``, ``labelled``

    Raises
    ------
    UsageError
        An input is not there or of another kind, no column of paths is known, or ``--column``
        names a column that is not there.
    ManifestError
        A table cannot be read, or no row has an image.
    """
    places = open_inputs(inputs, "a table, or a folder of images beside it", SUFFIXES)
    folders = [place.path for place in places if place.is_folder]
    tables = [place.path for place in places if not place.is_folder]
    if not tables or len(folders) > 1:
        raise UsageError(
            f"csv takes tables ({', '.join(SUFFIXES)}) and at most one folder, where their images "
            f"are; found {len(tables)} table(s) and {len(folders)} folder(s)"
        )
    reading = _Reading(instrument, out.absolute().parent, options)
    parts = [reading.table(path, folders[0] if folders else path.parent) for path in tables]
    table = parts[0]
    if len(parts) > 1:
        table = pd.concat(parts, ignore_index=True)
        table = pd.DataFrame({name: table[name].fillna("").astype(TEXT) for name in table.columns})
    table = _without_repetitions(table, reading)
    if table.empty:
        raise ManifestError(_nothing(inputs, reading.failed))
    known = [name for name in COLUMNS if name in table.columns]
    table = table[[*known, *(name for name in table.columns if name not in known)]]
    return IngestResult(table, failed=reading.failed, remarks=reading.remarks)


class _Reading:
    def __init__(self, instrument: str, relative_to: Path, options: IngestOptions) -> None:
        self.failed: list[tuple[str, str]] = []
        self.remarks: list[str] = []
        self.places: list[tuple[Path, NDArray[np.int64]]] = []
        """of each table, the lines of the rows that were taken"""
        self._instrument = instrument
        self._relative_to = relative_to
        self._columns = options.columns
        self._labelled = options.labelled

    def table(self, path: Path, root: Path) -> pd.DataFrame:
        """The rows of one table that have an image."""
        loose = read_loose_table(path)
        self.failed += loose.failed
        self.remarks += loose.remarks
        table = self._renamed(path, loose.table)
        paths = table["image"]
        table["image"] = _as_refs(paths, root)
        if "object_id" not in table.columns:
            table.insert(0, "object_id", paths)
        empty = np.asarray(paths == "", bool)
        gone = missing_images(table["image"], root) & ~empty
        nameless = np.asarray(table["object_id"] == "", bool) & ~gone & ~empty
        self._fail(path, loose, empty, "the row names no image")
        lines = loose.lines()
        for row in np.flatnonzero(gone).tolist():
            looked_for = os.path.join(root, paths.iloc[row])
            self.failed.append((f"{path}:{lines[row]}: {looked_for}", _GONE))
        self._fail(path, loose, nameless, "the row's object_id is empty")
        good = np.flatnonzero(~(empty | gone | nameless))
        table["image"] = rebase_refs(table["image"], root, self._relative_to)
        self.places.append((path, lines[good]))
        taken = table if len(good) == len(table) else table.iloc[good].copy()
        return self._with_instrument(path, self._with_sizes(path, taken))

    def _renamed(self, path: Path, table: pd.DataFrame) -> pd.DataFrame:
        found = [str(name) for name in table.columns]
        refuse_unknown_columns(self._columns, found, path)
        if "image" not in self._columns and "image" not in found:
            raise UsageError(
                f"{path}: no column 'image'; name the one that holds the images' paths: --column "
                f"image=NAME{suggest('image', found)}; the table has {', '.join(found)}"
            )
        columns = {ours: table[theirs] for ours, theirs in self._columns.items()}
        for name in found:
            if name not in self._columns.values():
                columns[f"table_{name}" if name in columns else name] = table[name]
        if not self._labelled:
            columns.pop("label", None)
        return pd.DataFrame(columns)

    def _with_instrument(self, path: Path, table: pd.DataFrame) -> pd.DataFrame:
        own = encode(column_of(table, "instrument")).values.to_pylist()
        if "instrument" in self._columns:
            if "" in own:
                self.remarks.append(f"{path}: rows that name no instrument get {self._instrument}")
            return table.assign(instrument=table["instrument"].replace("", self._instrument))
        if others := [name for name in own if name not in ("", self._instrument)]:
            listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            self.remarks.append(
                f"{path}: its column instrument says {listed}; all rows get {self._instrument} "
                "(--column instrument=instrument keeps the table's)"
            )
        return table.assign(instrument=pd.Series(self._instrument, index=table.index, dtype=TEXT))

    def _with_sizes(self, path: Path, table: pd.DataFrame) -> pd.DataFrame:
        if "pixel_size_um" not in table.columns:
            return table
        unit = stated_unit(self._columns.get("pixel_size_um", "pixel_size_um"))
        values, remarks = column_in_micrometres(table["pixel_size_um"], unit)
        self.remarks += [f"{path}: pixel_size_um: {remark}" for remark in remarks]
        return table.assign(pixel_size_um=pd.Series(values, index=table.index, dtype=TEXT))

    def _fail(self, path: Path, loose: LooseTable, where: NDArray[np.bool_], why: str) -> None:
        self.failed += [(f"{path}:{line}", why) for line in loose.lines()[where].tolist()]


def _without_repetitions(table: pd.DataFrame, reading: _Reading) -> pd.DataFrame:
    """The first row of each object_id."""
    if not has_repetitions(table["object_id"]):
        return table
    first = encode(table["object_id"]).first_rows()
    is_first = first == np.arange(len(first))
    ends = np.cumsum([len(lines) for _, lines in reading.places])

    def place(row: int) -> str:
        number = int(np.searchsorted(ends, row, side="right"))
        path, lines = reading.places[number]
        return f"{path}:{lines[row - int(ends[number])]}"  # counted from the end

    for row in np.flatnonzero(~is_first).tolist():
        why = f"its object_id stands in {place(int(first[row]))} already"
        reading.failed.append((place(row), why))
    kept: pd.DataFrame = table[is_first].reset_index(drop=True)
    return kept


def _as_refs(paths: pd.Series[str], root: Path) -> pd.Series[str]:
    """Paths, or refs, of a table as refs relative to ``root``."""
    texts = arrow_of(paths)
    special = pc.match_substring_regex(texts, r"[%!#\\\x00-\x1f\x7f]")
    rows = np.flatnonzero(special.to_numpy(zero_copy_only=False))
    rows = rows[_may_be_names(texts.take(pa.array(rows)), root)]
    if len(rows):
        refs = texts.to_numpy(zero_copy_only=False)
        refs[rows] = [_as_ref(refs[row], root) for row in rows.tolist()]
        texts = pa.array(refs, pa.large_string())
    return pd.Series(texts, index=paths.index, dtype=TEXT)


def _may_be_names(texts: pa.Array, root: Path) -> NDArray[np.bool_]:
    """False for each text (N,) that is a ref: it has the marks of one, and no file has its name."""
    odd = pc.match_substring_regex(texts, r"[\\\x00-\x1f\x7f]")
    names: list[str] = []
    for folder in pc.unique(pc.replace_substring_regex(texts, "[^/]*$", "")).to_pylist():
        with contextlib.suppress(OSError, ValueError):
            names += [folder + name for name in os.listdir(root / folder)]
    names = [name for name in names if _MARKS.search(name) and _is_text(name)]
    is_name = pc.is_in(texts, value_set=pa.array(names, pa.large_string()))
    return np.asarray(pc.or_(odd, is_name).to_numpy(zero_copy_only=False), dtype=bool)


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _as_ref(text: str, root: Path) -> str:
    if "\\" in text and not _is_there(root / text):
        text = text.replace("\\", "/")  # written on Windows
    is_ref = any(mark in text for mark in "!#%") and not _is_there(root / text)
    return text if is_ref else encode_name(text)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _nothing(inputs: Sequence[Path], failed: Sequence[tuple[str, str]]) -> str:
    lines = [f"{place}: {why}" for place, why in failed[:SHOWN_PER_CODE]]
    if more := len(failed) - len(lines):
        lines.append(f"... and {more} more")
    listed = ", ".join(map(str, inputs))
    return "\n".join([f"{listed}: no row with an image that is there", *lines])
