"""The whole journey on two drawn cameras, from an empty folder to a classified one."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plankton_da.adaptation.training import train
from plankton_da.config_reading import load_config
from plankton_da.config_text import config_text, write_config
from plankton_da.demo.archive import DemoArchive, write_archive
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.errors import OutputError
from plankton_da.evaluation.evaluate import evaluate
from plankton_da.manifests.ingest import IngestOptions, build_manifest
from plankton_da.manifests.splits import split_manifest
from plankton_da.manifests.table import read_manifest, write_manifest
from plankton_da.prediction.folder import classify
from plankton_da.prediction.predictor import Predictor
from plankton_da.tracking.registry import register, resolve_bundle

MODEL_NAME = "plankton_demo"
ALIAS = "candidate"
SETTINGS: Mapping[str, Any] = {
    "data.image_size": 64,
    "data.workers": 0,
    # Nothing of the backbone learns, so a step is little more than one forward pass; what adapts is
    # the bottleneck, with statistics per camera.
    "model.freeze": "all",
    "model.batch_norm": "per_domain",
    "model.bottleneck_dim": 256,
    "training.steps": 200,
    "training.evaluate_every": 100,
    "training.yardstick": False,  # it is trained as a run of its own
}
"""what the demo's configs set other than the defaults: minutes on two cores instead of hours"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoResult:
    """Where everything is, and what it is worth."""

    out: Path
    tracking_uri: str
    source_only: dict[str, Any]
    """as ``evaluate --json``"""
    dann: dict[str, Any]
    """as ``evaluate --json``"""
    better: str
    registered: str
    """``models:/NAME/VERSION``"""
    predictions: Path
    labels: dict[str, int]
    """label -> images classified"""


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    settings: Mapping[str, Any] = SETTINGS,
    mid_per_class: int = 100,
    target_images: int = 600,
    target_test_images: int = 300,
    progress: bool = False,
) -> DemoResult:
    """Run the demo into the folder ``out``.

    Raises
    ------
    OutputError
        ``out`` holds something already and ``overwrite`` is off, or is not a demo's folder.
    """
    out = Path(out)
    _make_room(out, overwrite)
    log.info("1/6 drawing plankton as two cameras see it")
    archive = write_archive(
        out / "archive",
        seed=seed,
        mid_per_class=mid_per_class,
        target_images=target_images,
        target_test_images=target_test_images,
    )
    log.info("2/6 building manifests")
    mid, target, test = _build_manifests(archive, out)
    tracking_uri = f"sqlite:///{(out / 'mlflow.db').resolve()}"
    documents, bundles = {}, {}
    for number, method in enumerate(("source_only", "dann"), 3):
        log.info("%d/6 training %s", number, method)
        config_file = out / f"{method}.yaml"
        changes = {
            **settings,
            "seed": seed,
            "output_dir": str(out / "runs" / method),
            "tracking.uri": tracking_uri,
        }
        write_config(
            config_text(method, mid=(str(mid),), target=(str(target),), changes=changes),
            config_file,
        )
        result = train(load_config(config_file), progress=progress)
        bundles[method] = Path(result.bundle)
        predictor = Predictor.open(bundles[method])
        documents[method] = evaluate(predictor, [read_manifest(mid), read_manifest(test)], "test")
    better = max(documents, key=lambda method: target_macro_recall(documents[method]))
    log.info("5/6 registering %s", better)
    registered = register(bundles[better], MODEL_NAME, ALIAS, tracking_uri)
    log.info("6/6 classifying %s", archive.target_pool)
    uri = f"models:/{MODEL_NAME}@{ALIAS}"
    predictions = out / "predictions.csv"
    summary = classify(
        resolve_bundle(uri, tracking_uri),
        [archive.target_pool],
        predictions,
        bundle_uri=uri,
        progress=progress,
    )
    return DemoResult(
        out=out,
        tracking_uri=tracking_uri,
        source_only=documents["source_only"],
        dann=documents["dann"],
        better=better,
        registered=registered.uri,
        predictions=predictions,
        labels=dict(summary.labels),
    )


def target_macro_recall(document: Mapping[str, Any]) -> float:
    """The target instrument's macro recall in a document of ``evaluate``."""
    return float(document["instruments"][TARGET_INSTRUMENT]["macro_recall"])


def _make_room(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    is_demo = (out / "archive").is_dir() and (out / "mid.csv").is_file()
    if not (overwrite and is_demo):
        way_out = "give another --out" + (", or --overwrite" if is_demo else "")
        raise OutputError(f"{out} exists and is not empty; {way_out}")
    try:
        shutil.rmtree(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be removed: {error}") from error


def _build_manifests(archive: DemoArchive, out: Path) -> tuple[Path, Path, Path]:
    mid, target, test = out / "mid.csv", out / "target.csv", out / "target_test.csv"
    built = build_manifest("folders", [archive.mid], MID_INSTRUMENT, mid).table
    split = split_manifest(built, (0.7, 0.15, 0.15), seed=0)
    write_manifest(built.assign(split=split), mid, overwrite=True)
    build_manifest(
        "folders",
        [archive.target_pool],
        TARGET_INSTRUMENT,
        target,
        options=IngestOptions(labelled=False),
    )
    built = build_manifest("folders", [archive.target_test], TARGET_INSTRUMENT, test).table
    write_manifest(built.assign(split="test"), test, overwrite=True)
    return mid, target, test


def describe(result: DemoResult) -> str:
    """The result in words and a table, for a terminal."""
    relative = Path(os.path.relpath(result.out))
    rows = []
    for method in ("source_only", "dann"):
        for instrument, scores in getattr(result, method)["instruments"].items():
            rows.append(
                f"{method:12} {instrument:20} {scores['n']:6} {scores['accuracy']:9.3f} "
                f"{scores['macro_recall']:13.3f}"
            )
    gain = target_macro_recall(result.dann) - target_macro_recall(result.source_only)
    labels = ", ".join(f"{label} {count}" for label, count in sorted(result.labels.items()))
    return "\n".join(
        [
            f"{'method':12} {'instrument':20} {'images':>6} {'accuracy':>9} {'macro recall':>13}",
            *rows,
            "",
            f"Adaptation (dann) changed macro recall on the new camera by {gain:+.3f}.",
            f"{result.better}, the better on the target's labelled test images, is registered as "
            f"{result.registered} (alias {ALIAS}).",
            f"It classified {sum(result.labels.values())} images of the new camera: {labels}.",
            "",
            f"images       {relative / 'archive'}",
            f"manifests    {relative / 'mid.csv'}, {relative / 'target.csv'}, "
            f"{relative / 'target_test.csv'}",
            f"configs      {relative / 'source_only.yaml'}, {relative / 'dann.yaml'}",
            f"predictions  {os.path.relpath(result.predictions)}",
            f"MLflow       mlflow ui --backend-store-uri {result.tracking_uri}",
        ]
    )
