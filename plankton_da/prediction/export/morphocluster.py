"""An archive for MorphoCluster: images and the table ``index.csv``.

Layout: https://github.com/morphocluster/morphocluster, README, "Data preparation".
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from pathlib import Path

import numpy as np

from plankton_da.errors import DataError, ImageError, UsageError
from plankton_da.manifests.table import refuse_existing
from plankton_da.prediction.export.image_files import image_file
from plankton_da.prediction.export.options import ExportOptions
from plankton_da.prediction.export.reading import Predictions
from plankton_da.prediction.export.result import ExportResult
from plankton_da.prediction.files import explained, replacing
from plankton_da.prediction.progress import Progress
from plankton_da.prediction.sort_into import safe_name

SUMMARY = "a zip for MorphoCluster: the images, and index.csv (object_id, path, label, score)"
OPTIONS: frozenset[str] = frozenset()
INDEX = "index.csv"
COLUMNS = ("object_id", "path", "label", "score")

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg"}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_TIME = (1980, 1, 1, 0, 0, 0)  # the same predictions, the same bytes


def write(predictions: Predictions, out: Path, options: ExportOptions) -> ExportResult:
    """Write a zip of the classified images, as PNG and JPEG, and their index.

    MorphoCluster reads ``object_id`` and ``path``; label and score are for whoever compares its
    clusters with ours. An image that cannot be read again is left out, and named.

    Raises
    ------
    UsageError
        ``out`` does not end in .zip.
    DataError
        No image can be written.
    OutputError
        ``out`` is there already, or cannot be written.
    """
    if out.suffix.lower() != ".zip":
        raise UsageError(f"--out {out}: --format morphocluster writes a file that ends in .zip")
    refuse_existing(out, options.overwrite)
    skipped = predictions.failures()
    good = predictions.good()
    index = io.StringIO(newline="")
    table = csv.writer(index, lineterminator="\n")
    table.writerow(COLUMNS)
    columns = (good[name] for name in ("object_id", "image", "label"))
    scores = good["score"].to_numpy(dtype=np.float32).astype(str)
    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    bar = Progress(lambda: len(good), show=options.progress, verb="exported")
    with replacing(out) as file, zipfile.ZipFile(file, "w") as archive, bar:
        for object_id, image, label, score in zip(*columns, scores, strict=True):
            bar.update(1, 0)
            try:
                data, kind = image_file(image, predictions.root, _SUFFIXES)
            except ImageError as error:
                skipped.append((object_id, str(error)))
                continue
            name = f"images/{written:08d}_{_stem(object_id)}{_SUFFIXES[kind]}"
            archive.writestr(zipfile.ZipInfo(name, _TIME), data)  # stored: images are packed
            table.writerow([object_id, name, label, score])
            written += 1
        if not written:
            raise DataError(f"{predictions.path}: no image can be exported; {_first(skipped)}")
        about = zipfile.ZipInfo(INDEX, _TIME)
        about.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(about, index.getvalue().encode())
    notes = []
    if all(_NUMBER.fullmatch(name) for name in good["object_id"]):
        notes.append(
            "every object_id is a number, and MorphoCluster's load-objects drops leading zeros: "
            "features may then not find their objects; better are names with a letter in them"
        )
    return ExportResult([out], written, skipped, notes)


def _stem(object_id: str) -> str:
    """The object_id as a part of a file name, without the suffix of an image."""
    name = object_id.replace("/", "__")
    return safe_name(re.sub(r"\.(png|jpe?g|tiff?|bmp)$", "", name, flags=re.IGNORECASE) or name)


def _first(skipped: list[tuple[str, str]]) -> str:
    return f"the first: {skipped[0][0]}: {skipped[0][1]}" if skipped else "it has no rows"
