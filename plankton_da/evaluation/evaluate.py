"""A bundle's scores on labelled images: per instrument, and over all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import DataError, ImageError
from plankton_da.evaluation.metrics import score
from plankton_da.images.physical_scale import require_same_sizes
from plankton_da.images.refs import open_image
from plankton_da.manifests.pixel_sizes import median_sizes
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy
from plankton_da.prediction.abstention import entropy_limit
from plankton_da.prediction.predictions import prediction_rows
from plankton_da.prediction.predictor import Predictor, available_cores

if TYPE_CHECKING:
    import pandas as pd

    from plankton_da.manifests.table import Manifest

log = logging.getLogger(__name__)

ALL_SPLITS = "all"
_CHUNK = 256  # images in memory at a time


@dataclass(frozen=True)
class LabelledRows:
    """Labelled rows of one or several manifests."""

    table: pd.DataFrame
    """the manifests' columns, ``label`` being the class after the taxonomy, and ``root``"""
    split: str
    """the split they are of, or ``all``"""
    unlabelled: int
    """rows of that split without label"""
    dropped: dict[str, int]
    """label -> rows of that split that the taxonomy leaves out"""


def evaluate(
    predictor: Predictor,
    manifests: Sequence[Manifest],
    split: str | None = None,
    taxonomy: Path | None = None,
    *,
    abstain: float = 0.0,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Classify labelled images and score the labels.

    Parameters
    ----------
    split : a split's name; ``all`` for every row; None: ``test``, or every row where no manifest
        names any split
    taxonomy : CSV label,class that is applied to the manifests' labels first
    abstain : as ``classify`` has it; what is called ``unclassified`` counts as wrong
    progress : a bar on stderr, if that is a terminal

    Returns
    -------
    The document of ``evaluate --json``: ``split``, ``instruments`` (name -> scores as
    ``metrics.score`` gives them, and ``failed``), ``overall`` (the same over all rows),
    ``failures`` (object_id, image, instrument, error of each image that could not be read) and
    ``unlabelled`` (rows passed over); ``dropped`` (label -> rows that the taxonomy leaves out); and
    ``prior``, ``views`` and ``abstain`` where they were asked for. Images that failed count in no
    score.

    Raises
    ------
    UsageError
        ``abstain`` is no share below 1.
    DataError
        No row to score, an instrument that the bundle does not know, or no image that can be read.
    ManifestError
        The taxonomy is not valid or lacks a label.
    BundleError
        The engine that was asked for does not serve an instrument; or the bundle does not say when
        it should abstain.
    """
    limit = entropy_limit(abstain, predictor.info)
    chosen = labelled_rows(manifests, split, taxonomy)
    known = chosen.table["label"].isin(predictor.classes)
    if not known.any():
        raise DataError(
            f"none of the labels is a class of this bundle. "
            f"Labels: {_tally(chosen.table['label'])}. "
            f"Classes: {', '.join(predictor.classes)}. Map one to the other: --taxonomy T.csv with "
            f"the columns label,class (plankton-da taxonomy suggest M.csv BUNDLE --out T.csv "
            f"proposes one)"
        )
    rows = classify_rows(predictor, chosen.table[known], entropy_limit=limit, progress=progress)
    failed = rows[rows["error"] != ""]
    if len(failed) == len(rows):
        raise DataError(
            f"none of the {len(rows)} labelled images can be read; the first: "
            f"{failed['image'].iloc[0]}: {failed['error'].iloc[0]}"
        )

    def scores(instrument: str | None) -> dict[str, Any]:
        mine, strange = rows, chosen.table[~known]
        if instrument is not None:
            mine = mine[mine["instrument"] == instrument]
            strange = strange[strange["instrument"] == instrument]
        good = mine[mine["error"] == ""]
        result = score(
            [*good["true_label"], *strange["label"]],
            [*good["label"], *([""] * len(strange))],
            np.concatenate([good["score"], np.zeros(len(strange))]),
            predictor.classes,
            bootstrap=bootstrap,
            seed=seed,
        )
        return {**result, "failed": len(mine) - len(good)}

    corrected: dict[str, Any] = (
        {} if predictor.prior is None else {"prior": asdict(predictor.prior)}
    )
    if predictor.views != 1:
        corrected["views"] = predictor.views
    if abstain:
        corrected["abstain"] = abstain
    return {
        "split": chosen.split,
        "instruments": {name: scores(name) for name in sorted(set(chosen.table["instrument"]))},
        "overall": scores(None),
        "failures": failed[["object_id", "image", "instrument", "error"]].to_dict("records"),
        "unlabelled": chosen.unlabelled,
        "dropped": chosen.dropped,
        **corrected,
    }


def labelled_rows(
    manifests: Sequence[Manifest], split: str | None = None, taxonomy: Path | None = None
) -> LabelledRows:
    """Choose the rows that ``evaluate`` scores; see there.

    Raises
    ------
    DataError
        There is none; the message says which splits and labels there are.
    ManifestError
        The taxonomy is not valid or lacks a label.
    """
    import pandas as pd

    where = ", ".join(str(manifest.path or "the manifest") for manifest in manifests)
    splits = pd.concat([manifest.column("split") for manifest in manifests])
    if split is None:
        split = "test" if (splits != "").any() else ALL_SPLITS
    tables = []
    for manifest in manifests:
        table = manifest.rows(None if split == ALL_SPLITS else split)
        if table.empty and len(manifests) > 1:
            log.warning("%s: no row of split %r; passed over", manifest.path, split)
        labels = manifest.column("label").loc[table.index]
        tables.append(table.assign(label=labels, root=str(manifest.root)))
    table = pd.concat(tables, ignore_index=True)
    if table.empty:
        raise DataError(
            f"{where}: no row of split {split!r}. Splits: {_tally(splits)}. Name another (--split "
            f"NAME, --split all) or make one: plankton-da manifest split"
        )
    labelled = table[table["label"] != ""]
    if labelled.empty:
        raise DataError(
            f"{where}: none of the {len(table)} rows of split {split!r} has a label, so there is "
            f"nothing to compare with. Fill the column label, or name another split (--split NAME)"
        )
    unlabelled = len(table) - len(labelled)
    dropped: dict[str, int] = {}
    if taxonomy is not None:
        labels = labelled["label"]
        labelled = apply_taxonomy(labelled, read_taxonomy(taxonomy))
        if labelled.empty:
            raise DataError(
                f"{taxonomy} drops every label of {where}, split {split!r}: {_tally(labels)}. Give "
                f"one of them a class"
            )
        left_out = labels.drop(labelled.index).value_counts().sort_index()
        dropped = {str(label): int(count) for label, count in left_out.items()}
    return LabelledRows(labelled.reset_index(drop=True), split, unlabelled, dropped)


def classify_rows(
    predictor: Predictor,
    table: pd.DataFrame,
    *,
    entropy_limit: float = float("inf"),
    progress: bool = False,
) -> pd.DataFrame:
    """Prediction rows of a table with the columns of ``LabelledRows``, in its order.

    Returns
    -------
    DataFrame with the columns of ``prediction_rows`` and ``true_label``

    Raises
    ------
    DataError, BundleError
        An instrument that the bundle does not know, or that the engine does not serve.
    """
    from tqdm import tqdm

    instruments = table["instrument"].to_numpy(dtype=object)
    for instrument in sorted(set(instruments)):
        predictor.preprocess.look(instrument)
        predictor.check_instrument(instrument)
    if predictor.preprocess.scale == "physical":
        require_same_sizes(predictor.preprocess, median_sizes([table]), "the manifests")
    probabilities = np.full((len(table), len(predictor.classes)), np.nan, dtype=np.float32)
    errors = np.full(len(table), "", dtype=object)
    bar = tqdm(total=len(table), unit="image", desc="evaluate", disable=None if progress else True)
    with bar, ThreadPoolExecutor(available_cores()) as pool:
        for chunk in _chunks(instruments):
            read = _read(predictor, table.iloc[chunk], pool)
            errors[chunk] = [error for _, error in read]
            pixels = [pixels for pixels, _ in read if pixels is not None]
            if pixels:
                good = chunk[errors[chunk] == ""]
                instrument = instruments[chunk[0]]
                probabilities[good] = predictor.probabilities(np.stack(pixels), instrument)
            bar.update(len(chunk))
    rows = prediction_rows(
        table["object_id"].tolist(),
        table["image"].tolist(),
        instruments.tolist(),
        probabilities,
        errors.tolist(),
        predictor.classes,
        predictor.info.thresholds,
        entropy_limit=entropy_limit,
    )
    return rows.assign(true_label=table["label"].to_numpy())


def _chunks(instruments: NDArray[np.object_]) -> Iterator[NDArray[np.intp]]:
    """Positions of at most ``_CHUNK`` rows of one instrument at a time."""
    for instrument in sorted(set(instruments)):
        mine = np.flatnonzero(instruments == instrument)
        yield from (mine[start : start + _CHUNK] for start in range(0, len(mine), _CHUNK))


def _read(
    predictor: Predictor, table: pd.DataFrame, pool: Executor
) -> list[tuple[NDArray[np.uint8] | None, str]]:
    """Pixels (H, W, C) or the error of each row."""

    def read(ref: str, root: str, instrument: str) -> tuple[NDArray[np.uint8] | None, str]:
        try:
            return predictor.preprocess(open_image(ref, Path(root)), instrument), ""
        except ImageError as error:
            return None, str(error)

    return list(pool.map(read, table["image"], table["root"], table["instrument"]))


def _tally(names: pd.Series[str], limit: int = 20) -> str:
    counts = names.replace("", "(none)").value_counts()
    listed = ", ".join(f"{name} {n}" for name, n in counts.head(limit).items())
    return listed + (f" and {len(counts) - limit} more" if len(counts) > limit else "")
