"""Class scores as the IFCB dashboard reads them: HDF5, version 3, one file per bin.

Layout: https://github.com/joefutrelle/pyifcb, ``ifcb/data/products/class_scores.py``, which the
dashboard uses, and the files of https://github.com/WHOIGit/ifcb_classifier.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from plankton_da.errors import DataError, UsageError
from plankton_da.manifests.problems import SHOWN_PER_CODE
from plankton_da.prediction.export.ifcb_bins import BinRows, bins_of, write_each
from plankton_da.prediction.export.options import ExportOptions
from plankton_da.prediction.export.reading import Predictions
from plankton_da.prediction.export.result import ExportResult

SUMMARY = "class scores of the IFCB dashboard (HDF5, v3), a file per bin; needs --all-scores"
OPTIONS: frozenset[str] = frozenset()
VERSION = "v3"

_UNKNOWN_MODEL = "unknown"


def write(predictions: Predictions, out: Path, options: ExportOptions) -> ExportResult:
    """Write ``out/D2016/D2016_196/D20160714T023910_IFCB101_class.h5`` for each bin.

    A file has ``output_scores`` (n, K) float32, ``class_labels`` (K,) and ``roi_numbers`` (n,)
    int32; what the images are called, ``class_name`` (after thresholds) and ``class_name_auto``
    (n,); and ``metadata``, whose attributes say version, model_id, timestamp and bin_id.

    Raises
    ------
    UsageError
        ``out`` is a file.
    DataError
        The predictions lack the scores of all classes, names are not ASCII, or no row is an IFCB
        image.
    OutputError
        Other files are there already, or one cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; --format ifcb-h5 writes a tree of folders")
    classes = _classes(predictions)
    bins, skipped = bins_of(predictions)
    model = model_id(predictions)
    made = predictions.finished or _modified(predictions.path)

    def path_of(each: BinRows) -> Path:
        day = each.day
        return out / f"D{day:%Y}" / f"D{day:%Y}_{day:%j}" / f"{each.pid}_class.h5"

    def content_of(each: BinRows) -> bytes:
        return _content(each, classes, model, made)

    files = write_each(bins, path_of, content_of, overwrite=options.overwrite)
    notes = []
    if model == _UNKNOWN_MODEL:
        notes.append(
            f"{predictions.path.with_suffix('.run.json').name} is not beside the predictions, so "
            f"that model_id is {_UNKNOWN_MODEL!r}"
        )
    return ExportResult(files, sum(len(each.rows) for each in bins), skipped, notes)


def model_id(predictions: Predictions) -> str:
    """What the model is called, and the first digits of the bundle's sha256."""
    parts = [predictions.model, predictions.model_hash[:12]]
    return " ".join(part for part in parts if part) or _UNKNOWN_MODEL


def _classes(predictions: Predictions) -> tuple[str, ...]:
    classes = predictions.classes
    if not classes:
        raise DataError(
            f"{predictions.path}: has no scores of all classes, which the dashboard wants; "
            f"classify again with --all-scores"
        )
    good = predictions.good()
    names = [*classes, *good["label"].unique(), *good["raw_label"].unique()]
    foreign = sorted({name for name in names if not name.isascii()})
    if foreign:
        more = len(foreign) - SHOWN_PER_CODE
        raise DataError(
            f"{predictions.path}: the dashboard reads class names in ASCII alone, and these are "
            f"not: {', '.join(foreign[:SHOWN_PER_CODE])}"
            + (f" and {more} more" if more > 0 else "")
            + "; give the classes other names (a taxonomy at training, or the columns here)"
        )
    lacking = good[[f"p_{name}" for name in classes]].isna().any(axis=1)
    if lacking.any():
        raise DataError(
            f"{predictions.path}: {int(lacking.sum())} classified rows lack a score, first "
            f"{good['object_id'][lacking].iloc[0]}; classify again with --all-scores"
        )
    return classes


def _content(each: BinRows, classes: Sequence[str], model: str, made: str) -> bytes:
    h5py = _h5py()
    names = h5py.string_dtype("ascii")
    scores = each.rows[[f"p_{name}" for name in classes]].to_numpy(dtype=np.float32)  # (n, K)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        about = file.create_dataset("metadata", data=h5py.Empty("f"))
        about.attrs["version"] = VERSION
        about.attrs["model_id"] = model
        about.attrs["timestamp"] = made
        about.attrs["bin_id"] = each.pid
        file.create_dataset("output_scores", data=scores, compression="gzip")
        file.create_dataset("class_labels", data=list(classes), dtype=names)
        # not float16, in which numbers above 2048 are rounded
        file.create_dataset("roi_numbers", data=each.rois.astype(np.int32))
        file.create_dataset("class_name", data=each.rows["label"].tolist(), dtype=names)
        file.create_dataset("class_name_auto", data=each.rows["raw_label"].tolist(), dtype=names)
        file.create_dataset("classifier_name", data=[model], dtype=h5py.string_dtype())
    return buffer.getvalue()


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise UsageError(
            f"--format ifcb-h5 needs h5py, which cannot be loaded ({error}): pip install h5py"
        ) from error
    return h5py


def _modified(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
