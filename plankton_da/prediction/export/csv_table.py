"""A plain table: the same rows, all columns or a choice of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plankton_da.errors import UsageError, suggest
from plankton_da.manifests.table import rebase_refs, write_manifest
from plankton_da.prediction.export.options import ExportOptions
from plankton_da.prediction.export.reading import Predictions, score_text
from plankton_da.prediction.export.result import ExportResult

SUMMARY = "a plain CSV table, all columns or a choice of them; failed images keep their rows"
OPTIONS = frozenset({"columns"})


def write(predictions: Predictions, out: Path, options: ExportOptions) -> ExportResult:
    """Write every row, in the same order, as CSV in UTF-8.

    Refs are made relative to the folder of ``out``; scores keep every digit of their float32.

    Raises
    ------
    UsageError
        ``out`` does not end in .csv, or a column is asked for that is not there.
    OutputError
        ``out`` is there already, or cannot be written.
    """
    if out.suffix.lower() != ".csv":
        raise UsageError(f"--out {out}: --format csv writes a file that ends in .csv")
    table = predictions.table
    names = list(options.columns or table.columns)
    known = [str(name) for name in table.columns]
    unknown = [f"{name!r}{suggest(name, known)}" for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"--columns: {predictions.path} has no column {', '.join(unknown)}; "
            f"it has {', '.join(known)}"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"--columns names {', '.join(twice)} more than once; once is enough")
    images = rebase_refs(table["image"], predictions.root, out.absolute().parent)
    scores = {n: score_text(table[n]) for n in names if table[n].dtype == np.float32}
    write_manifest(table.assign(image=images, **scores)[names], out, options.overwrite)
    return ExportResult([out], len(table))
