"""Which images of the target somebody should label next."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import DataError, ManifestError, UsageError, suggest
from plankton_da.evaluation.audit_copies import copy_for_sorting
from plankton_da.evaluation.audit_strategies import STRATEGIES, Candidates
from plankton_da.manifests.table import (
    Manifest,
    read_manifest,
    rebase_refs,
    refuse_existing,
    write_manifest,
)
from plankton_da.prediction.predictions import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_RANKED = re.compile(r"(label|score)_\d+")


@dataclass(frozen=True)
class Selection:
    """What ``select_images`` chose."""

    out: Path
    strategy: str
    picked: dict[str, int]
    """predicted label -> images"""
    available: dict[str, int]
    """the same, of all that could have been picked"""
    excluded: int
    """images of the predictions that an earlier audit holds"""
    copies: Path | None
    instruments: tuple[str, ...]

    @property
    def images(self) -> int:
        """Images that were picked."""
        return sum(self.picked.values())

    def to_json(self) -> str:
        """The document of ``audit select --json``."""
        document: dict[str, Any] = {
            "out": str(self.out),
            "strategy": self.strategy,
            "images": self.images,
            "excluded": self.excluded,
            "picked": self.picked,
            "available": self.available,
            "copies": str(self.copies) if self.copies else None,
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def words(self) -> str:
        """The same for people, and what to do next."""
        width = max(len("predicted"), *map(len, self.available))
        lines = [f"{'predicted':{width}}  picked  of"]
        for label, count in self.available.items():
            lines.append(f"{label:{width}}  {self.picked.get(label, 0):6,}  {count:,}")
        lines += ["", f"{self.out}: {self.images:,} images to label ({self.strategy})"]
        if self.excluded:
            lines.append(f"{self.excluded:,} images are in an earlier audit and were passed over")
        if self.copies is None:
            lines.append(f"next: fill the column label of {self.out}")
        else:
            lines += [
                f"next: move each image in {self.copies} into the folder of its true label (delete "
                f"what nobody can tell), then",
                f"plankton-da manifest build folders {self.copies} --instrument "
                f"{self.instruments[0]} --out labelled.csv",
            ]
        return "\n".join(lines)


def select_images(
    predictions: Path,
    out: Path,
    *,
    images: int,
    strategy: str = "balanced",
    seed: int = 0,
    exclude: Sequence[Path] = (),
    copy_to: Path | None = None,
    overwrite: bool = False,
) -> Selection:
    """Choose images to label from a file of ``classify``, and write them as a manifest.

    The manifest has the columns of the predictions' input, an empty ``label``,
    ``predicted_label`` and ``predicted_score``. An input's own labels are left out: whoever labels
    an audit must not see them. Images that failed are never chosen. The same predictions and seed
    give the same choice.

    Parameters
    ----------
    images
        How many; all, with a warning, where there are fewer.
    strategy
        A key of ``STRATEGIES``.
    exclude
        Earlier audits, or any manifests: no image of theirs, by id or by ref, is chosen.
    copy_to
        A new folder for copies of the images, one sub-folder per predicted label.
        ``manifest build folders`` reads it back with the same ids after somebody sorted it.

    Raises
    ------
    UsageError
        No such strategy, no images asked for, or ``coverage`` without a score per class.
    ManifestError
        ``predictions`` is no file of ``classify``, or a manifest has problems.
    DataError
        No image is left to choose.
    OutputError
        ``out`` or ``copy_to`` exists or cannot be written.
    """
    if strategy not in STRATEGIES:
        near = suggest(strategy, list(STRATEGIES))
        raise UsageError(f"--strategy {strategy}: expected {', '.join(STRATEGIES)}{near}")
    if images < 1:
        raise UsageError(f"--n {images}: give the number of images to label, 1 or more")
    refuse_existing(out, overwrite)
    manifest = _read_predictions(predictions)
    root = out.absolute().parent
    table = manifest.table.assign(image=rebase_refs(manifest.table["image"], manifest.root, root))
    good = table[table["error"] == ""].reset_index(drop=True)
    candidates = _candidates(good, _taken(good, exclude, root), predictions)
    free = np.flatnonzero(~candidates.taken)
    if not len(free):
        raise DataError(
            f"{predictions}: no image left to label: {len(table)} rows, {len(table) - len(good)} "
            f"of images that failed, {candidates.taken.sum()} held by --exclude"
        )
    if images > len(free):
        log.warning("%d images were asked for and %d are left: all are taken", images, len(free))
    chosen = STRATEGIES[strategy](candidates, min(images, len(free)), np.random.default_rng(seed))
    rows = good.iloc[np.sort(chosen)].sort_values("raw_label", kind="stable")
    audit = _to_label(rows)
    if copy_to is not None:
        copy_for_sorting(audit, root, copy_to)
    write_manifest(audit, out, overwrite)
    return Selection(
        out=out,
        strategy=strategy,
        picked=_counts(rows["raw_label"]),
        available=_counts(good["raw_label"].iloc[free]),
        excluded=int(candidates.taken.sum()),
        copies=copy_to,
        instruments=tuple(sorted(rows["instrument"].unique())),
    )


def _read_predictions(path: Path) -> Manifest:
    manifest = read_manifest(path)
    if missing := [name for name in COLUMNS if name not in manifest.table]:
        raise ManifestError(
            f"{path}: not a file of predictions: it has no column {', '.join(missing)}; make one "
            f"with: plankton-da classify BUNDLE INPUT --out P.csv"
        )
    return manifest


def _candidates(table: pd.DataFrame, taken: NDArray[np.bool_], path: Path) -> Candidates:
    def numbers(names: list[str]) -> NDArray[np.float32]:
        import pandas as pd

        try:
            values = [pd.to_numeric(table[name]).to_numpy(np.float32) for name in names]
        except ValueError as error:
            raise ManifestError(f"{path}: a score is not a number: {error}") from None
        found = np.stack(values, axis=1)  # (N, len(names))
        if not ((found >= 0) & (found <= 1 + 1e-3)).all():
            raise ManifestError(f"{path}: a score in {', '.join(names[:20])} is not from 0 to 1")
        return found

    scores = numbers(names) if (names := _score_columns(list(table.columns))) else None
    margins = numbers(["raw_score"])[:, 0].astype(np.float64)
    if scores is not None and scores.shape[1] > 1:
        best = np.partition(scores, -2, axis=1)[:, -2:].astype(np.float64)
        margins = best[:, 1] - best[:, 0]
    elif "score_2" in table:
        margins -= numbers(["score_2"])[:, 0]
    return Candidates(table["raw_label"].to_numpy(dtype=object), margins, scores, taken)


def _score_columns(columns: list[str]) -> list[str]:
    """``p_<class>`` of ``classify --all-scores``: they stand together, before an input's own."""
    names: list[str] = []
    for name in columns:
        if name in COLUMNS or _RANKED.fullmatch(name):
            continue
        if not name.startswith("p_"):
            break
        names.append(name)
    return names


def _taken(table: pd.DataFrame, exclude: Sequence[Path], root: Path) -> NDArray[np.bool_]:
    taken = np.zeros(len(table), dtype=bool)
    for path in exclude:
        earlier = read_manifest(path)
        refs = rebase_refs(earlier.table["image"], earlier.root, root)
        taken |= table["object_id"].isin(earlier.table["object_id"]).to_numpy(dtype=bool)
        taken |= table["image"].isin(refs).to_numpy(dtype=bool)
    return taken


def _to_label(rows: pd.DataFrame) -> pd.DataFrame:
    columns = [str(name) for name in rows]
    own = {*COLUMNS, "true_label", *_score_columns(columns)}
    carried = [name for name in columns if name not in own and not _RANKED.fullmatch(name)]
    table = rows[["object_id", "image", "instrument"]].assign(
        label="", predicted_label=rows["raw_label"], predicted_score=rows["raw_score"]
    )
    return table.assign(**{name: rows[name] for name in carried if name not in table})


def _counts(labels: pd.Series[str]) -> dict[str, int]:
    counts = labels.value_counts().sort_index()
    return {str(label): int(count) for label, count in counts.items()}
