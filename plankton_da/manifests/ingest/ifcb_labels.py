"""Labels of IFCB images, as other tools keep them beside the bins."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from plankton_da.errors import ManifestError, UsageError
from plankton_da.images.ifcb import PID
from plankton_da.images.refs import IMAGE_SUFFIXES
from plankton_da.manifests.columns import TEXT, arrow_of
from plankton_da.manifests.ingest.ifcb_manual import read_manual
from plankton_da.manifests.ingest.places import as_text
from plankton_da.manifests.ingest.tables import read_loose_table
from plankton_da.manifests.ingest.walk import Walk, no_regular_file
from plankton_da.manifests.problems import counted

_ROI = re.compile(rf"(?:{PID.pattern})_\d+", re.ASCII)
_UNLABELLED = frozenset({"", "unclassified"})
_TABLE, _MANUAL = ".csv", ".mat"
_OF_NO_USE = "holds no labels by its suffix"  # bins lie beside them: not worth a word
_MOST_CONFLICTS = 1000
_PERSON, _TOOL = "0", "1"

_Texts = Sequence[str] | pd.Series


@dataclass
class RoiLabels:
    """Labels of ROIs, by their names, and what was wrong where they were read."""

    table: pd.DataFrame
    """object_id, label, source; an object_id stands there once"""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def of(self, object_ids: pa.ChunkedArray) -> pa.Array:
        """A label for each of the ROIs, '' for none; says how many there are."""
        known = arrow_of(self.table["object_id"])
        ids = pa.chunked_array(object_ids).combine_chunks()
        places = pc.index_in(ids, value_set=known)
        labelled = len(ids) - places.null_count
        self.remarks.append(f"{labelled:,} of {len(ids):,} images have a label")
        lost = known.filter(pc.invert(pc.is_in(known, value_set=ids)))
        if len(lost):
            few = ", ".join(lost[:3].to_pylist())
            named = (
                "1 label is of an image that is not there"
                if len(lost) == 1
                else f"{len(lost):,} labels are of images that are not there"
            )
            self.remarks.append(f"{named}: {few}{' ...' * (len(lost) > 3)}")
        return arrow_of(self.table["label"]).take(places).fill_null("")


def read_labels(path: Path, all_labels: bool) -> RoiLabels:
    """Labels from a file, or from all files below a folder.

    Three forms are known, also side by side: tables of ClassiPyR (``file_name``, ``class_name``);
    ``manual`` files of the MATLAB tools, called like their bin; folders of exported images, the
    first below ``path`` being the class. Tables give way to the other two, which are a person's.
    ``unclassified`` is no label; an image with two different labels gets none.

    Parameters
    ----------
    path
        a folder, a .csv or a .mat
    all_labels
        where nobody has looked at an image, take the class that a classifier gave it

    Raises
    ------
    UsageError
        ``path`` is not there or of another kind.
    ManifestError
        There is no label.
    """
    reading = _Reading(all_labels)
    if path.is_dir():
        walk = Walk(_no_labels)
        for below, names in walk.files(path):
            reading.folder(path, below, names)
        reading.skipped += [(place, why) for place, why in walk.skipped if why != _OF_NO_USE]
        reading.failed += walk.failed
    elif not path.exists():
        raise UsageError(f"--labels {path}: no such file or folder")
    elif path.suffix.lower() in (_TABLE, _MANUAL):
        reading.file(path)
    else:
        raise UsageError(
            f"--labels {path}: expected a .csv with file_name and class_name, a manual .mat, or a "
            "folder of such files or of class folders"
        )
    labels = reading.labels()
    if labels.table.empty:
        what = [f"{place}: {why}" for place, why in [*labels.failed, *labels.skipped][:20]]
        raise ManifestError("\n".join([f"--labels {path}: no label was found there", *what]))
    return labels


class _Reading:
    def __init__(self, all_labels: bool) -> None:
        self.skipped: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []
        self._remarks: list[str] = []
        self._all_labels = all_labels
        self._parts: list[pd.DataFrame] = []
        self._scored = 0

    def folder(self, top: Path, below: str, names: Sequence[str]) -> None:
        """Files of one folder, ``below`` the top."""
        images = []
        for name in names:
            if os.path.splitext(name)[1].lower() in (_TABLE, _MANUAL):
                self.file(top / below / name)
            elif not below:
                self.skipped.append((str(top / name), "lies in no class folder"))
            else:
                images.append(os.path.splitext(name)[0])
        if images:
            label = as_text(below.split(os.sep)[0])
            self._add(images, [label] * len(images), top / below, _PERSON)

    def file(self, path: Path) -> None:
        """A table or a manual file."""
        try:
            if path.suffix.lower() == _MANUAL:
                self._manual(path)
            else:
                self._table(path)
        except ManifestError as error:
            self.failed.append((str(path), str(error).removeprefix(f"{path}: ")))

    def _manual(self, path: Path) -> None:
        found = read_manual(path, self._all_labels)
        if found is None:
            self.skipped.append((str(path), "no manual file: no classlist or class2use_manual"))
            return
        numbers, classes = found
        ids = [f"{path.stem}_{number:05d}" for number in numbers]
        self._add(ids, classes, path, _PERSON)

    def _table(self, path: Path) -> None:
        loose = read_loose_table(path)
        columns = {str(name).strip().lower(): name for name in loose.table.columns}
        if not {"file_name", "class_name"} <= columns.keys():
            self.skipped.append((str(path), "a table without the columns file_name and class_name"))
            return
        self.failed += loose.failed
        self._remarks += loose.remarks
        names = loose.table[columns["file_name"]].str.replace(r"\.[A-Za-z]{3,4}$", "", regex=True)
        odd = np.flatnonzero(~names.str.fullmatch(_ROI.pattern).to_numpy(bool))
        if len(odd):
            more = f" (and {counted(len(odd) - 1, 'row')} like it)" if len(odd) > 1 else ""
            place = f"{path}:{loose.lines()[odd[0]]}"
            self.failed.append((place, f"file_name is no image of a bin{more}"))
        labels = loose.table[columns["class_name"]]
        if "class_name_auto" in columns and self._all_labels:
            labels = labels.where(
                ~labels.isin(_UNLABELLED), loose.table[columns["class_name_auto"]]
            )
        keep = np.setdiff1d(np.arange(len(names)), odd)
        self._add(names.iloc[keep], labels.iloc[keep], path, _TOOL)
        self._scored += "score" in columns

    def _add(self, ids: _Texts, labels: _Texts, source: Path, rank: str) -> None:
        columns = {"object_id": ids, "label": labels, "source": str(source), "rank": rank}
        self._parts.append(pd.DataFrame(columns).astype(TEXT))

    def labels(self) -> RoiLabels:
        """All that was read, without what contradicts itself."""
        empty = pd.DataFrame({name: [] for name in ("object_id", "label", "source", "rank")})
        table = pd.concat([empty.astype(TEXT), *self._parts], ignore_index=True)
        unlabelled = table["label"].isin(_UNLABELLED)
        if unlabelled.any():
            count = int(unlabelled.sum())
            are = "1 image is" if count == 1 else f"{count:,} images are"
            self._remarks.append(f"{are} unclassified in --labels: no label")
        if self._scored:
            self._remarks.append(
                f"{self._scored:,} table(s) of labels have scores: a classifier's labels, unless "
                "somebody corrected them"
            )
        if self._all_labels:
            table = table[~unlabelled]
        first = table.groupby("object_id", sort=False)["rank"].transform("min")
        table = table[table["rank"] == first]
        table = table[~table["label"].isin(_UNLABELLED)].drop_duplicates(["object_id", "label"])
        conflict = table["object_id"].duplicated(keep=False)
        for name, rows in table[conflict].head(_MOST_CONFLICTS).groupby("object_id", sort=False):
            said = " and ".join(
                f"{label!r} in {source}"
                for label, source in zip(rows["label"], rows["source"], strict=True)
            )
            self.failed.append((str(name), f"called {said}: left without a label"))
        return RoiLabels(table[~conflict], self.skipped, self.failed, self._remarks)


def _no_labels(entry: os.DirEntry[str]) -> str | None:
    if why := no_regular_file(entry):
        return why
    stem, suffix = os.path.splitext(entry.name)
    if suffix.lower() in (_TABLE, _MANUAL):
        return None
    if suffix.lower() not in IMAGE_SUFFIXES:
        return _OF_NO_USE
    return None if _ROI.fullmatch(stem) else "its name is no ROI's, such as BIN_00014.png"
