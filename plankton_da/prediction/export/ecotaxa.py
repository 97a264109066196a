"""EcoTaxa: import zips that its importer takes the first time, or an update of what is there.

Source: the import page of EcoTaxa (https://ecotaxa.obs-vlfr.fr) and what its importer does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from plankton_da.errors import DataError, ImageError, UsageError
from plankton_da.manifests.columns import column_of
from plankton_da.manifests.ecotaxa_check import IMAGE_FORMATS
from plankton_da.manifests.ecotaxa_tables import (
    CATEGORY,
    CATEGORY_ID,
    MAX_TEXT_LENGTH,
    NUMBER,
    STATUS,
)
from plankton_da.manifests.ecotaxa_tables import TEXT as TEXT_TYPE
from plankton_da.manifests.problems import counted
from plankton_da.prediction.export.ecotaxa_annotations import (
    annotated_by_people,
    annotation_columns,
)
from plankton_da.prediction.export.ecotaxa_columns import (
    LABEL,
    MODEL,
    SCORE,
    carried_columns,
)
from plankton_da.prediction.export.ecotaxa_zips import Zips
from plankton_da.prediction.export.ifcb_rois import rois_before_pictures
from plankton_da.prediction.export.image_files import image_file
from plankton_da.prediction.export.objects import best_of_object, own_ids
from plankton_da.prediction.export.options import ExportOptions
from plankton_da.prediction.export.reading import Predictions
from plankton_da.prediction.export.renaming import read_renaming
from plankton_da.prediction.export.result import ExportResult
from plankton_da.prediction.progress import Progress
from plankton_da.prediction.sort_into import copy_name

SUMMARY = "zips for EcoTaxa's import, with the images or (--update-only) without; predicted status"
OPTIONS = frozenset({"taxonomy", "update_only", "max_mb"})

MAX_MB = 500
_BAD_ID = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]|^\s|\s$")
_UNSAFE_NAME = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_ROWS_AT_ONCE = 1 << 14
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif"}


def write(predictions: Predictions, out: Path, options: ExportOptions) -> ExportResult:
    """Write ``out`` (.zip), and ``X.part2.zip``, ... where one would be too large.

    EcoTaxa keeps one annotation for each object: where an object has several images, that of the
    most certain prediction. Objects that people have validated keep what people said; all get our
    label, score and model in free columns. Failed images are not exported, and neither are pictures
    of IFCB ROIs that lie beside their bin and are classified from it.

    Raises
    ------
    UsageError
        ``out`` is no .zip.
    ManifestError
        The label map has problems or lacks labels.
    DataError
        No row can be exported, or EcoTaxa would refuse the result (all reasons are listed).
    OutputError
        A file is there already, or cannot be written.
    """
    if out.suffix.lower() != ".zip":
        raise UsageError(f"--out {out}: --format ecotaxa writes a file that ends in .zip")
    renaming = read_renaming(options.taxonomy, predictions.table["label"])
    rows, skipped = _exportable(predictions)
    ids = own_ids(rows)
    best = best_of_object(rows, ids)
    carried = carried_columns(rows)
    notes = [] if options.update_only else carried.notes
    said = annotation_columns(best, carried.table, predictions, renaming)
    by_people = annotated_by_people(best)
    notes += _notes(ids, by_people, said, predictions)
    if options.update_only:
        plan = _update_plan(ids, said, by_people)
    else:
        plan = _import_plan(said, carried.table)
    limit = (options.max_mb or MAX_MB) * 1_000_000
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", out.stem)
    zips = Zips(out, limit, overwrite=options.overwrite, update_only=options.update_only)
    written = 0
    with zips, Progress(lambda: len(rows), show=options.progress, verb="exported") as bar:
        for table, values in plan:
            header = [
                ["object_id", "img_file_name", *values.columns],
                _types(values, carried.types),
            ]
            name = "_".join(filter(None, (stem, table)))
            for row in _rows(rows.loc[values.index], ids.loc[values.index], values):
                try:
                    image = None if options.update_only else _image(row, predictions.root, zips)
                except ImageError as error:
                    skipped.append((row.own_id, str(error)))
                    continue
                file_name = image[0] if image else row.file_name
                zips.add(name, header, [row.object_id, file_name, *row.values], image)
                written += 1
                bar.update(1, 0)
        if not written:
            raise DataError(_nothing(predictions, skipped))
    for path in zips.left_over:
        notes.append(f"{path} is of an earlier export; this one has {len(zips.paths)} part(s)")
    return ExportResult(zips.paths, written, skipped, notes)


@dataclass(frozen=True)
class _Row:
    own_id: str
    """ours"""
    object_id: str
    """EcoTaxa's"""
    ref: str
    file_name: str
    """what the image was called when it came from EcoTaxa, or what it is to be called"""
    values: tuple[str, ...]


def _exportable(predictions: Predictions) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    rows, pictures = rois_before_pictures(predictions.good())
    skipped = predictions.failures() + pictures
    ids = own_ids(rows)
    long = ids.str.len() > MAX_TEXT_LENGTH
    bad = ids.str.contains(_BAD_ID) & ~long
    words = f"an object_id in EcoTaxa has at most {MAX_TEXT_LENGTH} characters"
    skipped += [(name, words) for name in rows["object_id"][long]]
    words = "its object_id has blanks at an end, or a tab, line break or the like"
    skipped += [(name, words) for name in rows["object_id"][bad]]
    rows = rows[~(long | bad)]
    if rows.empty:
        raise DataError(_nothing(predictions, skipped))
    return rows, skipped


def _import_plan(said: pd.DataFrame, carried: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Name and columns of the one table of an import."""
    others = carried[[name for name in carried.columns if name not in said]]
    return [("", pd.concat([said, others], axis=1))]


def _update_plan(
    ids: pd.Series[str], said: pd.DataFrame, by_people: pd.Series[bool]
) -> list[tuple[str, pd.DataFrame]]:
    """Tables of an update: a row per object, and no cell that would empty what is there."""
    once = ~ids.duplicated()
    annotated = (said[CATEGORY] != "") & ~by_people
    ours = [name for name in (CATEGORY, CATEGORY_ID, STATUS, LABEL, SCORE, MODEL) if name in said]
    scores = [LABEL, SCORE, MODEL]
    parts = [("", said[once & annotated][ours]), ("scores", said[once & ~annotated][scores])]
    return [(name, part.loc[:, (part != "").any()]) for name, part in parts if len(part)]


def _types(values: pd.DataFrame, types: dict[str, str]) -> list[str]:
    own = {SCORE: NUMBER}
    return [TEXT_TYPE, TEXT_TYPE, *(types.get(n, own.get(n, TEXT_TYPE)) for n in values.columns)]


def _rows(rows: pd.DataFrame, ids: pd.Series[str], values: pd.DataFrame) -> Iterator[_Row]:
    names = column_of(rows, "img_file_name")
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        columns = [values[name].iloc[part].tolist() for name in values.columns]
        for own_id, object_id, ref, name, *cells in zip(
            rows["object_id"].iloc[part].tolist(),
            ids.iloc[part].tolist(),
            rows["image"].iloc[part].tolist(),
            names.iloc[part].tolist(),
            *columns,
            strict=True,
        ):
            file_name = name if _is_safe(name) else copy_name(own_id, ref)
            yield _Row(own_id, object_id, ref, file_name, tuple(cells))


def _is_safe(name: str) -> bool:
    """Whether a name can be a member of the zip as it stands."""
    path = PurePosixPath(name)
    return (
        name == path.as_posix()
        and name not in ("", ".")
        and not path.is_absolute()
        and ".." not in path.parts
        and name == name.strip()
        and len(name) <= MAX_TEXT_LENGTH
        and not _UNSAFE_NAME.search(name)
    )


def _image(row: _Row, root: Path, zips: Zips) -> tuple[str, bytes]:
    """Name and bytes of a row's image."""
    data, kind = image_file(row.ref, root, IMAGE_FORMATS)
    path = PurePosixPath(row.file_name)
    if path.suffix.lower() not in (*_SUFFIXES.values(), ".jpeg"):
        path = path.with_name(f"{path.name}{_SUFFIXES[kind]}")
    name, count = str(path), 1
    while zips.has(name):
        count += 1
        name = str(path.with_name(f"{path.stem}~{count}{path.suffix}"))
    return name, data


def _notes(
    ids: pd.Series[str], by_people: pd.Series[bool], said: pd.DataFrame, predictions: Predictions
) -> list[str]:
    notes = []
    several = int(ids[ids.duplicated()].nunique())
    if several:
        objects = "1 object has" if several == 1 else f"{several:,} objects have"
        notes.append(f"{objects} several images; the most certain prediction is taken for all")
    kept = int(by_people.sum())
    if kept:
        notes.append(
            f"{_images_that(kept, 'is', 'are')} of objects that people have validated or found "
            f"dubious in EcoTaxa; these keep their category, ours stands in {LABEL}"
        )
    blank = int(((said[CATEGORY] == "") & ~by_people).sum())
    if blank:
        images = _images_that(blank, "gets", "get")
        notes.append(f"{images} no category (unclassified, or without one in the map)")
    if not predictions.run:
        notes.append(
            f"no run.json beside {predictions.path.name}, so that {MODEL} is empty: it says which "
            f"model it was"
        )
    return notes


def _images_that(count: int, one: str, many: str) -> str:
    return f"{counted(count, 'image')} {one if count == 1 else many}"


def _nothing(predictions: Predictions, skipped: list[tuple[str, str]]) -> str:
    lines = ExportResult([], 0, skipped).skipped_lines()
    return "\n".join([f"{predictions.path}: no row can be exported", *lines])
