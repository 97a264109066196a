"""Everything that can be wrong with a manifest, found before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from plankton_da.errors import ManifestError
from plankton_da.manifests.class_rules import (
    LEARNT,
    distinct_labels,
    only_in_val,
    words_one_class,
    words_only_in_val,
)
from plankton_da.manifests.columns import (
    TEXT,
    EncodedTable,
    arrow_of,
    column_of,
    combinations,
    encode,
)
from plankton_da.manifests.decoding import decode_images
from plankton_da.manifests.looks import look_remarks
from plankton_da.manifests.pairs import check_pair
from plankton_da.manifests.pixel_sizes import median_sizes_of, size_remarks
from plankton_da.manifests.presence import missing_images
from plankton_da.manifests.problems import KEPT_PER_CODE, Problem, Problems, problem_lines
from plankton_da.manifests.reading import RawTable, read_table
from plankton_da.manifests.rules import problems_at, value_problems
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy, unmapped
from plankton_da.manifests.taxonomy_use import TaxonomyUse, count_use, use_of

__all__ = [
    "CheckReport",
    "CheckReports",
    "check_manifest",
    "check_manifests",
    "check_pair",
    "count_rows",
]

_CHECKED = ("object_id", "image", "instrument", "label", "split", "group", "pixel_size_um")


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    ``problems`` holds at most 1000 of each code; ``totals`` counts them all by code. ``counts`` has
    the columns instrument, split, label, n. ``fingerprint`` is '' where the file has no table.
    ``mapped`` says what the taxonomy does, as ``TaxonomyUse.counts``; None without one. ``remarks``
    are sentences about what is allowed but likely not meant.
    """

    path: Path
    rows: int
    fingerprint: str
    problems: list[Problem]
    totals: dict[str, int]
    counts: pd.DataFrame
    mapped: pd.DataFrame | None = None
    remarks: tuple[str, ...] = ()
    pixel_sizes_um: dict[str, float] = field(default_factory=dict)
    """instrument -> median of its rows that have one"""

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return not self.totals

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return {
            "file": str(self.path),
            "ok": self.ok,
            "rows": self.rows,
            "fingerprint": self.fingerprint,
            "totals": self.totals,
            "problems": [asdict(problem) for problem in self.problems],
            "counts": self.counts.to_dict(orient="records"),
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True)
class CheckReports:
    """Reports of several manifests, and what the taxonomy, if there is one, does to them all."""

    reports: tuple[CheckReport, ...]
    taxonomy: TaxonomyUse | None = None

    @property
    def ok(self) -> bool:
        """True if nothing is wrong with any."""
        return all(report.ok for report in self.reports)

    def as_json(self) -> dict[str, Any]:
        """All reports as one JSON object."""
        files = [report.as_json() for report in self.reports]
        use = {"taxonomy": self.taxonomy.as_json()} if self.taxonomy else {}
        return {"ok": self.ok, "files": files, "remarks": self.remarks, **use}

    @property
    def remarks(self) -> list[str]:
        """Sentences about what does not fit together."""
        sizes: dict[str, float] = {}
        for report in self.reports:
            for name, size in report.pixel_sizes_um.items():
                sizes[name if sizes.get(name, size) == size else f"{name} in {report.path}"] = size
        return size_remarks(sizes)

    def raise_if_not_ok(self) -> None:
        """Raise a ``ManifestError`` that lists every problem of every file."""
        lines = []
        for report in self.reports:
            lines.extend(problem_lines(report.problems, report.totals))
        if lines:
            raise ManifestError("\n".join(lines))


def check_manifests(
    paths: Sequence[Path | str],
    open_images: bool = False,
    taxonomy: Path | str | None = None,
    workers: int | None = None,
    progress: bool = False,
    look_for_images: bool = True,
) -> CheckReports:
    """``check_manifest`` of each file."""
    options = (open_images, taxonomy, workers, progress, look_for_images)
    reports = tuple(check_manifest(path, *options) for path in paths)
    if taxonomy is None:
        return CheckReports(reports)
    mapped = [report.mapped for report in reports if report.mapped is not None]
    return CheckReports(reports, use_of(Path(taxonomy), read_taxonomy(taxonomy), mapped))


def check_manifest(
    path: Path | str,
    open_images: bool = False,
    taxonomy: Path | str | None = None,
    workers: int | None = None,
    progress: bool = False,
    look_for_images: bool = True,
) -> CheckReport:
    """Every problem of one manifest: of the file, its values, its labels and its images.

    Parameters
    ----------
    path
        CSV or Parquet
    open_images
        also decode every image, and look for burnt-in scale bars
    taxonomy
        label map; labels are then checked and counted as classes, rows that it drops are not
    workers
        processes that decode; None: one per processor
    progress
        a bar on stderr, where that is a terminal
    look_for_images
        whether the images' files must be there

    Raises
    ------
    ManifestError
        The taxonomy itself cannot be used.
    """
    path = Path(path)
    classes = read_taxonomy(taxonomy) if taxonomy is not None else None
    raw = read_table(path, _CHECKED, fingerprint=True)
    with ThreadPoolExecutor(1) as beside:
        missing = None
        if look_for_images and "image" in raw.table.columns:
            missing = beside.submit(missing_images, raw.table["image"], path.absolute().parent)
        problems = raw.problems
        problems.extend(value_problems(path, raw))
        table = raw.table
        mapped = None
        if classes is not None and len(table):
            mapped = count_use(table, classes)
            problems.extend(_unknown_labels(path, raw, classes))
            table = _mapped(table, classes)
        encoded = raw.encoded if table is raw.table else EncodedTable(table)
        problems.extend(_label_problems(path, raw, table, encoded))
        counts = _count(encoded)
        if missing is not None:
            problems.extend(_missing(path, raw, missing.result()))
    remarks: list[str] = []
    if open_images and missing is not None:
        problems.extend(_undecodable(path, raw, missing.result(), workers, progress))
        remarks = look_remarks(raw.table, path.absolute().parent)
    return CheckReport(
        path=path,
        rows=len(raw.table),
        fingerprint=raw.fingerprint,
        problems=problems.kept,
        totals=problems.totals,
        counts=counts,
        mapped=mapped,
        remarks=tuple(remarks),
        pixel_sizes_um=median_sizes_of([raw.encoded]),
    )


def count_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows per instrument, split and label: columns instrument, split, label, n."""
    return _count(EncodedTable(table))


def _count(table: EncodedTable) -> pd.DataFrame:
    names = ["instrument", "split", "label"]
    columns = [table[name] for name in names]
    codes, counts = combinations(*columns)
    rows = {
        name: pd.Series(column.values.take(pa.array(code)), dtype=TEXT)
        for name, column, code in zip(names, columns, codes, strict=True)
    }
    return pd.DataFrame({**rows, "n": counts}).sort_values(names, ignore_index=True)


def _unknown_labels(path: Path, raw: RawTable, classes: dict[str, str]) -> Problems:
    unknown = unmapped(raw.encoded["label"], classes)
    problems = Problems()
    for label in unknown:
        rows = np.flatnonzero(column_of(raw.table, "label") == label)
        words = (
            f"label {label!r} ({len(rows)} row(s)) is not in the taxonomy; add the line {label},"
        )
        line = raw.lines.of(int(rows[0]))
        problems.add([Problem(str(path), line, "label", "unknown_label", words)])
    return problems


def _mapped(table: pd.DataFrame, classes: dict[str, str]) -> pd.DataFrame:
    """Classes as labels; labels that the map lacks, reported already, stay as they are."""
    unknown = unmapped(encode(column_of(table, "label")), classes)
    return apply_taxonomy(table, {**dict(zip(unknown, unknown, strict=True)), **classes})


def _label_problems(
    path: Path, raw: RawTable, table: pd.DataFrame, encoded: EncodedTable
) -> Problems:
    problems = Problems()
    labels = distinct_labels(encoded)
    if len(labels) == 1:
        words = words_one_class(labels[0])
        problems.add([Problem(str(path), None, "label", "one_class", words)])
    if set(encoded["split"].values.to_pylist()) & set(LEARNT):  # else train is in another file
        for label, rows, first in only_in_val(encoded):
            line = raw.lines.of(int(table.index[first]))
            words = words_only_in_val(label, rows)
            problems.add([Problem(str(path), line, "label", "label_only_in_val", words)])
    return problems


def _missing(path: Path, raw: RawTable, missing: NDArray[np.bool_]) -> Problems:
    images = raw.table["image"]
    root = path.absolute().parent

    def words(row: int) -> str:
        ref = images.iloc[row]
        hint = "; folders are separated by /" if "\\" in ref else ""
        return f"no such image: {ref}; refs are relative to {root}{hint}"

    return problems_at(path, raw, missing & _given(images), "image", "missing", words)


def _undecodable(
    path: Path, raw: RawTable, missing: NDArray[np.bool_], workers: int | None, progress: bool
) -> Problems:
    images = raw.table["image"]
    problems = Problems()
    rows = np.flatnonzero(_given(images) & ~missing)
    root = path.absolute().parent
    for row, code, why in decode_images(arrow_of(images), rows, root, workers, progress):
        line = raw.lines.of(row) if problems.totals.get(code, 0) < KEPT_PER_CODE else None
        words = f"{images.iloc[row]}: {code}: {why}"
        problems.add([Problem(str(path), line, "image", code, words)])
    return problems


def _given(images: pd.Series[str]) -> NDArray[np.bool_]:
    return np.asarray(images != "", dtype=bool)
