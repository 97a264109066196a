"""Tables that ClassiPyR opens for people to correct: one per IFCB bin.

Layout: https://europeanifcbgroup.github.io/ClassiPyR/articles/user-guide.html
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np

from plankton_da.errors import UsageError
from plankton_da.prediction.export.ifcb_bins import BinRows, bins_of, write_each
from plankton_da.prediction.export.options import ExportOptions
from plankton_da.prediction.export.reading import Predictions
from plankton_da.prediction.export.result import ExportResult

SUMMARY = "tables for ClassiPyR, one per IFCB bin: file_name, class_name, class_name_auto, score"
OPTIONS: frozenset[str] = frozenset()
COLUMNS = ("file_name", "class_name", "class_name_auto", "score")

_CUT = re.compile(r"_\d{3}$", re.ASCII)


def write(predictions: Predictions, out: Path, options: ExportOptions) -> ExportResult:
    """Write ``out/D20160714T023910_IFCB101.csv`` for each bin.

    ``class_name`` is the label after thresholds (``unclassified`` below), ``class_name_auto`` the
    best class, ``score`` that of the label, with every digit of its float32.

    Raises
    ------
    UsageError
        ``out`` is a file.
    DataError
        No row is an IFCB image, or a ROI has several rows.
    OutputError
        Other files are there already, or one cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; --format classipyr writes a folder of tables")
    bins, skipped = bins_of(predictions)
    files = write_each(
        bins, lambda each: out / f"{each.pid}.csv", _content, overwrite=options.overwrite
    )
    cut = sorted(name for name in predictions.good()["label"].unique() if _CUT.search(name))
    notes = [
        f"ClassiPyR leaves out the end of {name!r} and shows {_CUT.sub('', name)!r}" for name in cut
    ]
    return ExportResult(files, sum(len(each.rows) for each in bins), skipped, notes)


def _content(each: BinRows) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    columns = (each.rows[name] for name in ("label", "raw_label"))
    scores = each.rows["score"].to_numpy(dtype=np.float32).astype(str)
    for roi, label, raw_label, score in zip(each.rois, *columns, scores, strict=True):
        table.writerow([f"{each.pid}_{roi:05d}.png", label, raw_label, score])
    return text.getvalue().encode()
