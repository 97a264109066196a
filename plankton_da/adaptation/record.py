"""What a run leaves behind: entries in MLflow, and the bundle's description of itself."""

from __future__ import annotations

import datetime
import importlib.metadata
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.preparation import TrainingData
from plankton_da.adaptation.run_folder import flat_config
from plankton_da.adaptation.scoring import Predictions, Scores
from plankton_da.config import Config
from plankton_da.evaluation.metrics import confusion_matrix
from plankton_da.evaluation.report.confusion import draw_confusion
from plankton_da.evaluation.report.examples import draw_examples
from plankton_da.networks.bundle import BundleInfo
from plankton_da.tracking.runs import Run, metric_key

_EXAMPLES = 24
_FLAT = ("n", "accuracy", "macro_recall", "macro_f1", "ece", "coverage")
_PACKAGES = ("plankton-da", "torch", "timm", "albumentations", "opencv-python-headless", "pillow")


def record_start(run: Run, config: Config, data: TrainingData) -> None:
    """Config, manifests and what was found in them, before the first step."""
    run.log_params(flat_config(config.model_dump(mode="json")))
    run.log_bytes(config.model_dump_json(indent=2).encode(), "config.json")
    for context, manifests in (("mid", data.mid), ("target", data.target)):
        for manifest in manifests:
            run.log_dataset(
                manifest.table,
                source=str(manifest.path),
                name=Path(str(manifest.path)).stem,
                context=context,
                digest=manifest.fingerprint[:32],
            )
    run.log_bytes(data.preprocess.model_dump_json(indent=2).encode(), "preprocess.json")


def flat_metrics(scores: Scores) -> dict[str, float]:
    """MLflow metric key -> value: overall figures and the recall of each class, per instrument."""
    flat: dict[str, float] = {}
    for place, values in scores.metrics.items():
        split, instrument = place.removeprefix("oracle/").split("/", 1)
        oracle = place.startswith("oracle/")
        named = {name: values[name] for name in _FLAT}
        named |= {f"recall/{name}": value["recall"] for name, value in values["per_class"].items()}
        flat |= {
            metric_key(split, instrument, name, oracle): float(value)
            for name, value in named.items()
            if value is not None
        }
    flat["selection/infomax"] = scores.infomax
    if scores.mid_macro_recall is not None:
        flat["selection/mid_macro_recall"] = scores.mid_macro_recall
    flat["selection/effective_classes"] = scores.effective_classes
    return flat


def record_pictures(
    run: Run, predictions: Mapping[str, Predictions], classes: tuple[str, ...]
) -> None:
    """Confusion matrices and example pictures per instrument, of what ``predict_all`` gives."""
    for split, found in predictions.items():
        for instrument in sorted(set(found.instruments)):
            place = f"{split}/{instrument}"
            _record_examples(run, found, classes, instrument, place)
            if (found.labels >= 0).any():
                _record_confusion(run, found, classes, instrument, place)


def bundle_info(
    config: Config,
    method: Method,
    data: TrainingData,
    run: Run | None = None,
    scores: Scores | None = None,
    mid_entropy: tuple[float, ...] = (),
) -> BundleInfo:
    """What ``bundle.json`` says; without scores, for use within the training (temperature 1).

    ``mid_entropy``: of mid's val images; where there are none, what the starting bundle says.
    """
    manifests = [*data.mid, *data.target]
    licences = {name for manifest in manifests for name in manifest.column("licence").unique()}
    start = data.start
    if start is not None:
        licences |= set(start.licences)
    return BundleInfo(
        backbone=config.model.backbone,
        bottleneck_dim=config.model.bottleneck_dim,
        batch_norm=method.network.batch_norm,
        classes=data.classes,
        preprocess=data.preprocess,
        preprocess_hash=data.preprocess.hash(),
        method=config.method.name,
        taxon_ids=start.taxon_ids if start else {},
        temperature=scores.temperature if scores else 1.0,
        thresholds=start.thresholds if start else {},
        mid_instruments=data.mid_instruments,
        target_instruments=data.target_instruments,
        priors=data.priors,
        presumed_prior=_shares(data, scores.presumed_prior) if scores else {},
        target_prior=_shares(data, scores.target_prior) if scores else {},
        mid_entropy=mid_entropy or (start.mid_entropy if start else ()),
        manifests={
            **(start.manifests if start else {}),
            **{str(manifest.path): manifest.fingerprint for manifest in manifests},
        },
        licences=tuple(sorted(licences - {""})),
        metrics=scores.metrics if scores else {},
        versions=_versions(),
        git_commit=_git_commit(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seed=config.seed,
        run_id=run.run_id if run else None,
        config=config.model_dump(mode="json"),
    )


def _shares(data: TrainingData, shares: list[float]) -> dict[str, float]:
    return dict(zip(data.classes, shares, strict=True))


def _record_confusion(
    run: Run, found: Predictions, classes: tuple[str, ...], instrument: str, place: str
) -> None:
    chosen = (found.instruments == instrument) & (found.labels >= 0)
    names = np.array(classes, dtype=object)
    labels, predicted = names[found.labels[chosen]], names[found.predicted[chosen]]
    matrix = confusion_matrix(labels.tolist(), predicted.tolist(), classes)
    run.log_bytes(draw_confusion(matrix, classes, place), f"confusion/{place}.png")


def _record_examples(
    run: Run, found: Predictions, classes: tuple[str, ...], instrument: str, place: str
) -> None:
    rows = np.flatnonzero(found.instruments == instrument)
    rows = np.random.default_rng(0).permutation(rows)[:_EXAMPLES]
    picture = draw_examples(
        found.images.pixels.read_many(found.rows[rows]),
        [classes[label] if label >= 0 else "" for label in found.labels[rows]],
        [classes[label] for label in found.predicted[rows]],
        found.probabilities[rows].max(1),
        place,
    )
    run.log_bytes(picture, f"examples/{place}.png")


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {name.replace("-", "_"): version for name, version in versions.items()}


def _git_commit() -> str | None:
    """The commit of the working directory, where the lab keeps its configs, if it has one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607  # whichever git the user has
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
