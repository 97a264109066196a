"""The local driver: inputs in, one file with one row per image out, losing none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from plankton_da.errors import UsageError
from plankton_da.networks.bundle import bundle_hash, read_bundle_info
from plankton_da.prediction.abstention import entropy_limit
from plankton_da.prediction.engine_choice import EngineChooser
from plankton_da.prediction.finish import claim, finish
from plankton_da.prediction.ledger import Ledger, latest_made
from plankton_da.prediction.local_backend import LocalBackend
from plankton_da.prediction.opening import log_ignored, open_inputs
from plankton_da.prediction.order import Order
from plankton_da.prediction.predictions import check_top_k, score_columns
from plankton_da.prediction.predictor import Device, Engine, Predictor, Views
from plankton_da.prediction.prior import NO_PRIOR, find_prior
from plankton_da.prediction.result import check_suffix
from plankton_da.prediction.shards import parse_shard
from plankton_da.prediction.sort_into import check_writable
from plankton_da.prediction.sort_into import sort_into as sort_images_into
from plankton_da.prediction.summary import ClassifySummary
from plankton_da.prediction.work import Backend, Work
from plankton_da.prediction.worker import make_job

__all__ = ["ClassifySummary", "classify"]

log = logging.getLogger(__name__)


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
    views: Views = 1,
    abstain: float = 0.0,
    sort_into: Path | None = None,
    shard: str | None = None,
    retry_failed: bool = False,
    image_timeout: float = 60.0,
    overwrite: bool = False,
    batch_size: int = 32,
    part_rows: int = 2048,
    progress: bool = True,
    bundle_uri: str | None = None,
    backend: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
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
    views
        How many of each image's quarter turns (4) and their mirror images (8) are averaged.
    abstain
        Share of mid's val images that would become ``unclassified``: images that are less certain
        than all the others do.
    sort_into
        Also copy the images there, into one folder per label.
    shard
        ``i/n``: only the i-th of n parts of the images; ``merge`` joins them.
    retry_failed
        Also try images again that failed before.
    image_timeout
        Seconds that reading and decoding one image may take.
    part_rows
        Rows after which finished work is written down (or half a minute, if that is sooner).
    backend
        Who does it: this machine, or a Ray cluster. Rows are the same, and what one began the other
        can finish.
    ray_address
        Of a cluster that runs already; None: ``RAY_ADDRESS``, else one of this machine alone.
    open_predictor
        Makes the predictor of the local backend, when one is needed; None: ``Predictor.open``.

    Raises
    ------
    UsageError
        Options or inputs that are impossible.
    DataError
        An input that does not exist, without any image, or of an unknown instrument; or that
        was lost on the way.
    ManifestError
        A manifest, or the table of a prior, with problems.
    BundleError
        No usable bundle; or ``out`` was begun with another model or other options.
    OutputError
        ``out`` is somebody else's, in use, not writable, or the disk is full.
    """
    started = time.monotonic()
    check_suffix(out)
    if not image_timeout > 0:
        raise UsageError(f"--image-timeout {image_timeout:g}: give seconds, more than 0")
    _check_backend(backend, ray_address)
    out = out.parent.resolve() / out.name
    info = read_bundle_info(bundle)
    check_top_k(top_k, info.classes)
    correction = find_prior(prior, info)
    limit = entropy_limit(abstain, info)
    part = None if shard is None else parse_shard(shard, batch_size)
    found = open_inputs(inputs, out, info, instrument, part, sort_into)
    model = bundle_hash(bundle)
    engines = EngineChooser(
        bundle,
        info,
        engine,
        device,
        found.instruments,
        begun=None if overwrite else latest_made(out),
        alone=part is None and backend == "local",
    )
    eight = open_predictor is None and engines.takes_int8()
    options: dict[str, Any] = {
        "model": model,
        "preprocess": info.preprocess_hash,
        # onnx and torch make the same rows, 8 bits other ones
        "weights": f"int8 {info.int8.sha256}" if eight and info.int8 is not None else "float",
        "instrument": instrument,
        "top_k": top_k,
        "all_scores": all_scores,
        "batch_size": batch_size,
    }
    if correction is not None:
        options["prior"] = correction.key
    if views != 1:
        options["views"] = views
    if abstain:
        options["abstain"] = abstain
    if part is not None:
        options["shard"] = str(part)
    about: dict[str, Any] = {
        "result": out.name,
        "bundle": bundle_uri or str(bundle),
        # An alias moves on; the folder of a registered bundle names the version.
        "bundle_folder": str(bundle.resolve()),
        "training_run": info.run_id,
        "options": {**options, "engine": engine},
        "inputs": found.names,
        "manifests": found.manifests,
        "prior": None if correction is None else asdict(correction),
    }
    opening: dict[str, Any] = {"batch_size": batch_size, "views": views}

    def opened() -> Predictor:
        if open_predictor is not None:
            return open_predictor()
        return engines.open(prior=prior, **opening)

    def opened_backend() -> Backend:
        if backend == "local":
            return LocalBackend(info.preprocess, found, opened, image_timeout)
        from plankton_da.prediction.ray_backend import RayBackend

        asked = {**opening, "engine": "onnx-int8" if eight else engine}
        job = make_job(bundle, model, asked, correction, found, image_timeout)
        return RayBackend(job, info.preprocess, device, ray_address)

    if sort_into is not None:
        check_writable(sort_into)
    with Ledger(out, options, anew=overwrite) as ledger:
        claim(out, ledger, found, overwrite=overwrite)
        order = Order(found, ledger, retry_failed=retry_failed)
        work = Work(ledger, order, info, top_k, all_scores, part_rows, limit)
        work.run(found, opened_backend, progress)
        log_ignored(found)
        about |= {"score_columns": score_columns(work.schema), "shard": found.shard_told()}
        tally = finish(out, ledger, order, work.schema, about)
        if sort_into is not None:
            copies = sum(
                sort_images_into(table.to_pandas(), out.parent, sort_into)
                for table in order.tables(work.schema)
            )
            log.info("%s: %d images copied", sort_into, copies)
    latest = ledger.made[-1] if ledger.made else {"engine": engine, "device": device}
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


def _check_backend(backend: str, ray_address: str | None) -> None:
    if backend == "local" and ray_address is not None:
        raise UsageError(f"--ray-address {ray_address}: only with --backend ray")
    if backend == "ray" and find_spec("ray") is None:
        raise UsageError("--backend ray: Ray is not installed; pip install 'plankton-da[ray]'")
