"""Bins of an Imaging FlowCytobot."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.errors import DataError, ImageError, ManifestError
from plankton_da.images.ifcb import NO_SAMPLES, SUFFIXES, Bin, RowState, is_of_bin, read_bin
from plankton_da.images.refs import ref_of
from plankton_da.manifests.columns import REQUIRED, TEXT
from plankton_da.manifests.ingest.ifcb_labels import read_labels
from plankton_da.manifests.ingest.ifcb_volume import analysed_ml, sample_time
from plankton_da.manifests.ingest.options import IngestOptions
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.walk import Walk, no_regular_file
from plankton_da.manifests.problems import SHOWN_PER_CODE, counted

SUMMARY = "IFCB bins (.hdr, .adc, .roi) of both versions, in place; labels by --labels"
COLUMNS: tuple[str, ...] = (
    *REQUIRED,
    "label",
    "group",
    "pixel_size_um",
    "time",
    "volume_ml",
    "trigger",
    "roi_number",
    "x_px",
    "y_px",
    "width_px",
    "height_px",
)
OPTIONS: frozenset[str] = frozenset({"labels", "all_labels"})

_PIXEL_SIZE_UM = f"{1 / 3.4:.5f}"  # 3.4 pixels to the micrometre
_NUMBERS = ("trigger", "roi_number", "x_px", "y_px", "width_px", "height_px")


def build(
    inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
) -> IngestResult:
    """Rows for every image of the bins among and below the inputs.

    ``object_id`` is the ROI's name (``D20160714T023910_IFCB101_00014``), ``group`` its bin,
    ``time`` the UTC in the bin's name, ``volume_ml`` what the instrument looked at for the bin.

    Parameters
    ----------
    inputs
        folders, and files of bins
    instrument
        the camera's name, for every row
    out
        the manifest to be; refs are relative to its folder
    options
        ``labels``: see ``read_labels``; ``all_labels``

    Raises
    ------
    DataError
        An input is not there, or neither a folder nor a file of a bin.
    ManifestError
        No image was found, or no labels where ``labels`` says.
    """
    _check(inputs)
    walk = Walk(_no_file_of_a_bin)
    bins = _Bins(out.absolute().parent)
    for path in _found(inputs, walk, bins):
        bins.add(path)
    table = bins.table(instrument)
    if table.num_rows == 0:
        raise ManifestError(_nothing(inputs, walk, bins))
    failed, remarks = [*walk.failed, *bins.failed], []
    if options.labels is not None:
        labels = read_labels(options.labels, options.all_labels)
        table = table.add_column(3, "label", labels.of(table["object_id"]))
        walk.skipped += labels.skipped
        failed += labels.failed
        remarks += labels.remarks
    frame = table.to_pandas(types_mapper={pa.large_string(): TEXT}.get)
    return IngestResult(frame, walk.skipped, walk.hidden, failed, remarks)


class _Bins:
    """Collects bins; an image is a few numbers until the end."""

    def __init__(self, relative_to: Path) -> None:
        self.failed: list[tuple[str, str]] = []
        self.folders: dict[str, str] = {}
        """of each bin that was read, by its name"""
        self._relative_to = relative_to
        self._columns: dict[str, list[str]] = {"pid": [], "ref": [], "time": [], "volume_ml": []}
        self._numbers: list[NDArray[np.int64]] = []
        """of each bin (columns, images)"""

    def add(self, path: Path) -> None:
        """Read a bin by any of its files."""
        try:
            found = read_bin(path)
        except ImageError as error:
            self.failed.append((str(path), error.words))
            return
        self.folders[path.stem] = os.path.realpath(path.parent)
        self._fail_rows(path.with_suffix(".adc"), found)
        rows = np.flatnonzero(found.rois.state == RowState.IMAGE)
        if not len(rows):
            return
        pid, volume, time = path.stem, analysed_ml(path.stem, found), sample_time(path.stem)
        roi = path.with_suffix(".ROI" if path.suffix.isupper() else ".roi")
        self._columns["pid"].append(pid)
        self._columns["ref"].append(ref_of(roi, self._relative_to))
        self._columns["time"].append(f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else "")
        self._columns["volume_ml"].append("" if volume is None else f"{volume:.6g}")
        rois = found.rois
        numbers = [found.trigger, found.x, found.y, rois.width, rois.height]
        self._numbers.append(np.stack([rows + 1, *(each[rows] for each in numbers)]))

    def _fail_rows(self, table: Path, found: Bin) -> None:
        states = found.rois.state
        for state in np.unique(states[states > RowState.NO_IMAGE]):
            rows = np.flatnonzero(states == state)
            more = f" (and {counted(len(rows) - 1, 'row')} like it)" if len(rows) > 1 else ""
            why = found.rois.why(int(rows[0])).words.partition(": ")[2]
            self.failed.append((f"{table}:{found.rois.lines[rows[0]]}", f"{why}{more}"))

    def table(self, instrument: str) -> pa.Table:
        """All images, in the order of the bins."""
        counts = [numbers.shape[1] for numbers in self._numbers]
        of_row = pa.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
        numbers = np.concatenate([np.zeros((6, 0), np.int64), *self._numbers], axis=1)
        roi_number, *others = (pa.array(each).cast(pa.large_string()) for each in numbers)
        text = dict(zip(_NUMBERS, [others[0], roi_number, *others[1:]], strict=True))
        of_bin = {
            name: pa.array(values, pa.large_string()).take(of_row)
            for name, values in self._columns.items()
        }
        padded = pc.utf8_lpad(roi_number, 5, padding="0")
        same = {"instrument": instrument, "pixel_size_um": _PIXEL_SIZE_UM}
        everywhere = {
            name: pa.repeat(pa.scalar(value, pa.large_string()), len(of_row))
            for name, value in same.items()
        }
        columns = {
            "object_id": _joined(of_bin["pid"], padded, "_"),
            "image": _joined(of_bin["ref"], roi_number, "#"),
            "group": of_bin["pid"],
            **everywhere,
            **{name: of_bin[name] for name in ("time", "volume_ml")},
            **text,
        }
        return pa.table({name: columns[name] for name in COLUMNS if name in columns})


def _joined(left: pa.Array, right: pa.Array, between: str) -> pa.Array:
    return pc.binary_join_element_wise(left, right, pa.scalar(between, pa.large_string()))


def _check(inputs: Sequence[Path]) -> None:
    problems = []
    for path in inputs:
        if not path.exists():
            problems.append(f"{path}: no such file or folder")
        elif not path.is_dir() and not is_of_bin(path.name):
            problems.append(f"{path}: {_EXPECTED}")
    if problems:
        raise DataError("\n".join(problems))


_EXPECTED = (
    "neither a folder nor a file of a bin, such as D20160714T023910_IFCB101.roi or "
    "IFCB3_2008_013_023910.roi"
)


def _found(inputs: Sequence[Path], walk: Walk, bins: _Bins) -> Iterator[Path]:
    """Of every bin one file, the ``.roi`` where there is one; not of bins that were read before."""
    for top in inputs:
        is_folder = top.is_dir()
        listed = walk.files(top) if is_folder else [("", [top.name])]
        for below, names in listed:
            folder = top / below if is_folder else top.parent
            odd = [part for part in below.split(os.sep) if part.lower() in NO_SAMPLES]
            for name in _one_of_each(names):
                path = folder / name
                known = bins.folders.get(path.stem)
                if odd:
                    walk.skipped.append((str(path), f"no sample: in a folder called {odd[0]}"))
                elif known is None:
                    yield path
                elif known != os.path.realpath(folder):
                    walk.skipped.append((str(path), f"the same bin was read from {known}"))


def _one_of_each(names: Sequence[str]) -> list[str]:
    """Of the files of each bin the ``.roi``, else the ``.adc``, else the ``.hdr``."""
    by_pid: dict[str, str] = {}
    for name in sorted(names, key=lambda name: SUFFIXES.index(os.path.splitext(name)[1].lower())):
        by_pid.setdefault(os.path.splitext(name)[0], name)
    return [by_pid[pid] for pid in sorted(by_pid)]


def _no_file_of_a_bin(entry: os.DirEntry[str]) -> str | None:
    if why := no_regular_file(entry):
        return why
    if is_of_bin(entry.name):
        return None
    if os.path.splitext(entry.name)[1].lower() in SUFFIXES:
        return "its name is no bin's, such as D20160714T023910_IFCB101 or IFCB3_2008_013_023910"
    return "no file of a bin"


def _nothing(inputs: Sequence[Path], walk: Walk, bins: _Bins) -> str:
    left_out = [*walk.failed, *bins.failed, *walk.skipped]
    lines = [f"{path}: {why}" for path, why in left_out[:SHOWN_PER_CODE]]
    if len(left_out) > len(lines):
        lines.append(f"... and {len(left_out) - len(lines)} more")
    listed = ", ".join(map(str, inputs))
    empty = f"; {len(bins.folders)} bin(s) were read and hold none" if bins.folders else ""
    return "\n".join([f"{listed}: no image found in bins (.hdr, .adc, .roi){empty}", *lines])
