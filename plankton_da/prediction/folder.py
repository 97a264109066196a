"""The local driver: inputs in, one file with one row per image out, losing none."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from plankton_da.errors import DataError, UsageError
from plankton_da.images.archives import COMPRESSED_TARS
from plankton_da.networks.bundle import BundleInfo, bundle_hash, read_bundle_info
from plankton_da.prediction.finish import claim, finish
from plankton_da.prediction.inputs import Inputs, Item
from plankton_da.prediction.ledger import Ledger, keys_of
from plankton_da.prediction.order import Order
from plankton_da.prediction.pipeline import Batch, classify_items
from plankton_da.prediction.predictions import check_top_k, is_score_column, prediction_rows
from plankton_da.prediction.predictor import Device, Engine, Predictor
from plankton_da.prediction.prior import NO_PRIOR, find_prior
from plankton_da.prediction.progress import Progress
from plankton_da.prediction.result import check_suffix
from plankton_da.prediction.sort_into import sort_into as sort_images_into
from plankton_da.prediction.summary import ClassifySummary

__all__ = ["ClassifySummary", "classify"]

log = logging.getLogger(__name__)

_PART_SECONDS = 30.0
_PACKAGES = ("plankton-da", "numpy", "pillow", "opencv-python-headless", "onnxruntime", "torch")


def classify(
    bundle: Path,
    inputs: Sequence[Path],
    out: Path,
    *,
    engine: Engine = "auto",
    device: Device = "auto",
    instrument: str | None = None,
    top_k: int = 1,
    all_scores: bool = False,
    prior: str = NO_PRIOR,
    sort_into: Path | None = None,
    overwrite: bool = False,
    batch_size: int = 32,
    part_rows: int = 2048,
    progress: bool = True,
    bundle_uri: str | None = None,
    open_predictor: Callable[[], Predictor] | None = None,
) -> ClassifySummary:
    """Classify every image of ``inputs`` into ``out`` (.csv or .parquet), one row each.

    Finished rows are kept in ``<out>.parts/``. The same call again goes on where the last one ended
    (however it ended), classifies images that are new or whose size or modification time changed,
    and does nothing, without loading the model, when there is nothing to do. ``out`` appears whole,
    when all is finished; ``<name>.run.json`` beside it says how it came to be.

    Parameters
    ----------
    bundle
        A bundle's folder; ``bundle_uri`` is what the user called it.
    inputs
        Folders, image files, manifests, zips and tars.
    instrument
        Of all images, also of those whose manifest says otherwise; None: what the manifest says,
        and the bundle's first target instrument for images without a manifest.
    prior
        ``none``, ``estimated`` or a table of class shares, under which probabilities are corrected.
    sort_into
        Also copy the images there, into one folder per label.
    part_rows
        Rows after which finished work is written down (or half a minute, if that is sooner).
    open_predictor
        Makes the predictor, when one is needed; None: ``Predictor.open``.

    Raises
    ------
    UsageError
        Options or inputs that are impossible.
    DataError
        An input that does not exist, without any image, or of an unknown instrument.
    ManifestError
        A manifest, or the table of a prior, with problems.
    BundleError
        No usable bundle; or ``out`` was begun with another model or other options.
    OutputError
        ``out`` is somebody else's, in use, not writable, or the disk is full.
    """
    started = time.monotonic()
    check_suffix(out)
    out = out.parent.resolve() / out.name
    info = read_bundle_info(bundle)
    check_top_k(top_k, info.classes)
    correction = find_prior(prior, info)
    found = _open_inputs(inputs, out, info, instrument, sort_into)
    model = bundle_hash(bundle)
    options: dict[str, Any] = {
        "model": model,
        "preprocess": info.preprocess_hash,
        "engine": engine,
        "instrument": instrument,
        "top_k": top_k,
        "all_scores": all_scores,
        "batch_size": batch_size,
    }
    if correction is not None:
        options["prior"] = correction.key
    about = {
        "result": out.name,
        "bundle": bundle_uri or str(bundle),
        # An alias moves on; the folder of a registered bundle names the version.
        "bundle_folder": str(bundle.resolve()),
        "training_run": info.run_id,
        "options": options,
        "inputs": found.names,
        "manifests": found.manifests,
        "prior": None if correction is None else asdict(correction),
    }

    def opened() -> Predictor:
        if open_predictor is not None:
            return open_predictor()
        return Predictor.open(
            bundle, engine=engine, device=device, batch_size=batch_size, prior=prior
        )

    with Ledger(out, options, anew=overwrite) as ledger:
        claim(out, ledger, found, overwrite=overwrite)
        order = Order(found, ledger)
        work = _Work(ledger, order, info, top_k, all_scores, part_rows)
        work.run(found, opened, out.parent, progress)
        _log_ignored(found)
        tally = finish(out, ledger, order, about)
        if sort_into is not None:
            _sort(order, out.parent, sort_into)
    latest = ledger.made[-1]
    return ClassifySummary(
        out=out,
        images=tally.images,
        classified=work.classified,
        reused=order.finished_before,
        labels=dict(tally.labels.most_common()),
        errors=dict(tally.errors.most_common()),
        seconds=time.monotonic() - started,
        images_per_second=work.classified / work.seconds if work.classified else 0.0,
        engine=latest["engine"],
        device=latest["device"],
        model=model,
    )


class _Work:
    """The images that have no row yet, through the model and into parts."""

    def __init__(
        self,
        ledger: Ledger,
        order: Order,
        info: BundleInfo,
        top_k: int,
        all_scores: bool,
        part_rows: int,
    ) -> None:
        self.classified = 0
        self.seconds = 0.0
        self._ledger = ledger
        self._order = order
        self._info = info
        self._top_k = top_k
        self._all_scores = all_scores
        self._part_rows = part_rows
        self._batches: list[Batch] = []
        self._written = time.monotonic()
        self._made: dict[str, Any] = {}

    def run(
        self, inputs: Inputs, opened: Callable[[], Predictor], root: Path, progress: bool
    ) -> None:
        items = self._order.unfinished()
        first = next(items, None)
        if first is None:
            return
        predictor = opened()
        for name in inputs.instruments:
            predictor.check_instrument(name)
        self._made = _made(predictor)
        log.info("engine %s on %s", predictor.engine, predictor.device)
        started = self._written = time.monotonic()

        def remaining() -> Iterator[Item]:
            yield first
            yield from items

        with Progress(inputs.count, show=progress) as bar:
            try:
                for batch in classify_items(remaining(), predictor, root):
                    self._add(batch)
                    bar.update(len(batch.items), self._order.finished_before)
            except KeyboardInterrupt:
                self._write()
                raise
            self._write()
        self.seconds = time.monotonic() - started

    def _add(self, batch: Batch) -> None:
        self._batches.append(batch)
        rows = sum(len(waiting.items) for waiting in self._batches)
        if rows >= self._part_rows or time.monotonic() - self._written >= _PART_SECONDS:
            self._write()

    def _write(self) -> None:
        if not self._batches:
            return
        items = [item for batch in self._batches for item in batch.items]
        frame = prediction_rows(
            [item.object_id for item in items],
            [item.image for item in items],
            [item.instrument for item in items],
            np.concatenate([batch.probabilities for batch in self._batches]),
            [error for batch in self._batches for error in batch.errors],
            self._info.classes,
            self._info.thresholds,
            self._top_k,
            self._all_scores,
        )
        schema = pa.schema(
            (name, pa.float32() if is_score_column(name) else pa.string()) for name in frame.columns
        )
        rows = pa.Table.from_pandas(frame, schema, preserve_index=False)
        keys = keys_of(self._order.waiting_keys(len(items)))
        self._order.settle(len(items), self._ledger.append(keys, rows, self._made))
        self.classified += len(items)
        self._batches = []
        self._written = time.monotonic()


def _open_inputs(
    inputs: Sequence[Path],
    out: Path,
    info: BundleInfo,
    instrument: str | None,
    sort_to: Path | None,
) -> Inputs:
    found = Inputs(
        inputs,
        out.parent,
        instrument=instrument or info.target_instruments[0],
        override=instrument is not None,
    )
    for name in found.instruments:
        info.preprocess.look(name)
    for folder in found.folders:
        if sort_to is not None and sort_to.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"--sort-into {sort_to} lies in INPUT {folder}: the next run would classify the "
                f"copies; give a folder elsewhere"
            )
    if instrument is None and len(found.manifests) < len(inputs):
        others = [name for name in info.preprocess.instruments if name not in found.instruments]
        log.info(
            "images without a manifest are taken as images of %s, the bundle's target; for %s say "
            "--instrument",
            info.target_instruments[0],
            " or ".join(others) or "another camera",
        )
    if next(iter(found), None) is None:
        raise DataError(f"{', '.join(map(str, inputs[:20]))}: no image there; nothing to classify")
    found.ignored.clear()
    return found


def _log_ignored(inputs: Inputs) -> None:
    packed = sum(inputs.ignored[suffix] for suffix in COMPRESSED_TARS)
    if packed:
        log.warning(
            "passed over %d compressed tars, which cannot be read in place: decompress them "
            "(gunzip) to .tar to have their images classified",
            packed,
        )
    if inputs.ignored:
        counts = (f"{n:,} {suffix or 'without suffix'}" for suffix, n in inputs.ignored.items())
        log.info("passed over files that are no images: %s", ", ".join(counts))


def _made(predictor: Predictor) -> dict[str, Any]:
    return {
        "engine": predictor.engine,
        "device": predictor.device,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _sort(order: Order, root: Path, folder: Path) -> None:
    copies = sum(sort_images_into(table.to_pandas(), root, folder) for table in order.tables())
    log.info("%s: %d images copied", folder, copies)
