"""Everything that can be wrong with a manifest, found before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plankton_da.manifests.class_rules import (
    LEARNT,
    distinct_labels,
    only_in_val,
    words_one_class,
    words_only_in_val,
)
from plankton_da.manifests.columns import arrow_of, column_of, encode
from plankton_da.manifests.decoding import decode_images
from plankton_da.manifests.presence import missing_images
from plankton_da.manifests.problems import KEPT_PER_CODE, Problem, Problems
from plankton_da.manifests.reading import RawTable, read_table
from plankton_da.manifests.rules import problems_at, value_problems
from plankton_da.manifests.table import Manifest, fingerprint_of
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy, unmapped


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    ``problems`` holds at most 1000 of each code; ``totals`` counts them all by code. ``counts`` has
    the columns instrument, split, label, n. ``fingerprint`` is '' where the file has no table.
    """

    path: Path
    rows: int
    fingerprint: str
    problems: list[Problem]
    totals: dict[str, int]
    counts: pd.DataFrame

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
        }


def check_manifest(
    path: Path | str,
    open_images: bool = False,
    taxonomy: Path | str | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> CheckReport:
    """Every problem of one manifest: of the file, its values, its labels and its images.

    Parameters
    ----------
    path
        CSV or Parquet
    open_images
        also decode every image
    taxonomy
        label map; labels are then checked and counted as classes, rows that it drops are not
    workers
        processes that decode; None: one per processor
    progress
        a bar on stderr, where that is a terminal

    Raises
    ------
    ManifestError
        The taxonomy itself cannot be used.
    """
    path = Path(path)
    classes = read_taxonomy(taxonomy) if taxonomy is not None else None
    raw = read_table(path)
    problems = raw.problems
    problems.extend(value_problems(path, raw))
    table = raw.table
    if classes is not None and len(table):
        problems.extend(_unknown_labels(path, raw, classes))
        table = _mapped(table, classes)
    problems.extend(_label_problems(path, raw, table))
    if "image" in table.columns:
        problems.extend(_image_problems(path, raw, open_images, workers, progress))
    return CheckReport(
        path=path,
        rows=len(raw.table),
        fingerprint=fingerprint_of(raw.table) if len(raw.table.columns) else "",
        problems=problems.kept,
        totals=problems.totals,
        counts=count_rows(table),
    )


def count_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows per instrument, split and label: columns instrument, split, label, n."""
    names = ["instrument", "split", "label"]
    parts = [encode(column_of(table, name)) for name in names]
    keys = np.zeros(len(table), dtype=np.int64)
    for part in parts:
        keys = keys * (len(part.values) + 1) + part.codes
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    rows = {name: column_of(table, name).iloc[first] for name in names}
    return pd.DataFrame({**rows, "n": counts}).sort_values(names, ignore_index=True)


def check_pair(
    mid: Manifest | Sequence[Manifest], target: Manifest | Sequence[Manifest]
) -> Problems:
    """Every reason why mid and target cannot be trained on together.

    Labels are to be mapped by the taxonomy already. ``check_pair(mid, target).raise_if_any()``
    raises a ``ManifestError`` that lists them all.
    """
    mids = [mid] if isinstance(mid, Manifest) else list(mid)
    targets = [target] if isinstance(target, Manifest) else list(target)
    problems = Problems()
    mid_file = ", ".join(_name(manifest) for manifest in mids)
    target_file = ", ".join(_name(manifest) for manifest in targets)
    where_mid = {name: _name(manifest) for manifest in mids for name in manifest.instruments}
    for manifest in targets:
        for name in manifest.instruments:
            if name in where_mid:
                words = (
                    f"the target's instrument {name!r} is mid's too ({where_mid[name]}); they are "
                    "two cameras, with two names: build one of them again with --instrument"
                )
                problems.add([_whole(_name(manifest), "instrument", "same_instrument", words)])
    table = pd.concat([_label_columns(manifest) for manifest in mids], ignore_index=True)
    problems.extend(_mid_problems(mid_file, table))
    if not any(len(manifest.rows(LEARNT)) for manifest in targets):
        words = "no row to adapt to: all rows are in val or test; leave some in train"
        problems.add([_whole(target_file, "split", "empty_train", words)])
    return problems


def _mid_problems(file: str, table: pd.DataFrame) -> Problems:
    problems = Problems()
    learnt = table["split"].isin(LEARNT)
    if not learnt.any():
        words = "no row to learn from: all rows are in val or test; leave some in train"
        problems.add([_whole(file, "split", "empty_train", words)])
    elif not table["split"].isin(("val", "")).any():
        words = (
            "no row to choose the model by: none is in val; leave the split of some empty (15% of "
            "those become val) or divide again: plankton-da manifest split"
        )
        problems.add([_whole(file, "split", "empty_val", words)])
    labels = distinct_labels(table)
    if len(labels) == 1:
        problems.add([_whole(file, "label", "one_class", words_one_class(labels[0]))])
    bare = int(((table["label"] == "") & table["split"].isin((*LEARNT, "val"))).sum())
    if bare:
        words = f"{bare} row(s) of train or val have no label; label them or leave them out"
        problems.add([_whole(file, "label", "unlabelled", words)])
    for label, rows, _ in only_in_val(table):
        words = words_only_in_val(label, rows)
        problems.add([_whole(file, "label", "label_only_in_val", words)])
    return problems


def _name(manifest: Manifest) -> str:
    return str(manifest.path or manifest.root)


def _label_columns(manifest: Manifest) -> pd.DataFrame:
    return pd.DataFrame({name: manifest.column(name) for name in ("label", "split")})


def _whole(file: str, column: str, code: str, words: str) -> Problem:
    return Problem(file, None, column, code, words)


def _unknown_labels(path: Path, raw: RawTable, classes: dict[str, str]) -> Problems:
    labels = encode(column_of(raw.table, "label"))
    unknown = unmapped(labels, classes)
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


def _label_problems(path: Path, raw: RawTable, table: pd.DataFrame) -> Problems:
    problems = Problems()
    labels = distinct_labels(table)
    if len(labels) == 1:
        words = words_one_class(labels[0])
        problems.add([Problem(str(path), None, "label", "one_class", words)])
    if column_of(table, "split").isin(LEARNT).any():  # else train is in another file
        for label, rows, first in only_in_val(table):
            line = raw.lines.of(int(table.index[first]))
            words = words_only_in_val(label, rows)
            problems.add([Problem(str(path), line, "label", "label_only_in_val", words)])
    return problems


def _image_problems(
    path: Path, raw: RawTable, open_images: bool, workers: int | None, progress: bool
) -> Problems:
    images = raw.table["image"]
    root = path.absolute().parent
    given = np.asarray(images != "", dtype=bool)
    missing = missing_images(images, root) & given

    def words(row: int) -> str:
        ref = images.iloc[row]
        hint = "; folders are separated by /" if "\\" in ref else ""
        return f"no such image: {ref}; refs are relative to {root}{hint}"

    problems = problems_at(path, raw, missing, "image", "missing", words)
    if open_images:
        rows = np.flatnonzero(given & ~missing)
        for row, code, why in decode_images(arrow_of(images), rows, root, workers, progress):
            line = raw.lines.of(row) if problems.totals.get(code, 0) < KEPT_PER_CODE else None
            words_ = f"{images.iloc[row]}: {code}: {why}"
            problems.add([Problem(str(path), line, "image", code, words_)])
    return problems
