"""Scores of the network while it trains: mid with labels, the target without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plankton_da.adaptation.frozen_features import FrozenFeatures
from plankton_da.adaptation.plain_features import PlainFeatures
from plankton_da.adaptation.preparation import ImageSet, TrainingData
from plankton_da.evaluation.calibration import fit_temperature
from plankton_da.evaluation.metrics import score
from plankton_da.evaluation.priors import estimate_prior, presumed_prior
from plankton_da.prediction.abstention import entropy
from plankton_da.prediction.predictor import Predictor
from plankton_da.prediction.prior import presumed_shares

EVALUATED_IMAGES = 5000
"""at most so many of each set at each evaluation: a drawn sample, the same every time"""
_BATCH = 64
_PSEUDOCOUNT = 1.0  # images: no class gets an estimated share of 0, which would rule it out


@dataclass(frozen=True)
class Predictions:
    """A network's word on images of known or unknown class."""

    images: ImageSet
    rows: NDArray[np.intp]
    """(N,) rows of ``images``"""
    probabilities: NDArray[np.float32]
    """(N, K)"""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) index of the true class, -1 where unknown."""
        labels: NDArray[np.int64] = self.images.labels[self.rows]
        return labels

    def tempered(self, temperature: float) -> Predictions:
        """The same at another temperature."""
        return replace(self, probabilities=temper(self.probabilities, temperature))

    @property
    def predicted(self) -> NDArray[np.intp]:
        """(N,) index of the predicted class."""
        predicted: NDArray[np.intp] = self.probabilities.argmax(1)
        return predicted

    @property
    def instruments(self) -> NDArray[np.object_]:
        """(N,) instrument names."""
        return self.images.table["instrument"].to_numpy(dtype=object)[self.rows]


@dataclass(frozen=True)
class Scores:
    """One evaluation: flat metrics, and the figures that a choice without target labels may use."""

    metrics: dict[str, dict[str, Any]]
    """``<split>/<instrument>``, with ``oracle/`` before it if so -> as ``evaluate --json``"""
    mid_macro_recall: float | None
    """None where there are no images of mid"""
    audit_macro_recall: float | None
    oracle_macro_recall: float | None
    """of the target's test split, else val, else train"""
    infomax: float
    """H(mean prediction) - mean H(prediction) over the target, nats"""
    effective_classes: float
    """exp(H(mean prediction)) over the target"""
    mid_effective_classes: float
    """the same over mid's val, or of the class shares that the starting bundle learnt from"""
    mid_accuracy: float | None
    """on mid's val, or as the starting bundle says"""
    target_confidence: float
    """mean of the greatest probability over the target, after temperature scaling"""
    temperature: float
    presumed_prior: list[float]
    """(K,) class shares that the probabilities presume"""
    target_prior: list[float]
    """(K,) class shares of the target, estimated without labels"""


def history_entry(step: int, scores: Scores) -> dict[str, Any]:
    """What a checkpoint keeps of an evaluation: everything that a choice may look at."""
    return {"step": step, **{k: value for k, value in asdict(scores).items() if k != "metrics"}}


def val_accuracies(scores: Scores) -> dict[str, float]:
    """Mid instrument -> accuracy on its ``val`` images."""
    return {
        place.removeprefix("val/"): values["accuracy"]
        for place, values in scores.metrics.items()
        if place.startswith("val/")
    }


def evaluated_rows(images: ImageSet, seed: int) -> NDArray[np.intp]:
    """Rows that an evaluation looks at: all that decode, or a sample of EVALUATED_IMAGES."""
    rows = np.flatnonzero(images.pixels.good)
    if len(rows) <= EVALUATED_IMAGES:
        return rows
    chosen = np.random.default_rng(seed).choice(rows, EVALUATED_IMAGES, replace=False)
    return np.sort(chosen)


def predict(
    predictor: Predictor,
    images: ImageSet,
    rows: NDArray[np.intp],
    features: FrozenFeatures | None = None,
) -> Predictions:
    """Probabilities of ``rows``, each image under its own instrument's statistics.

    ``features``: what frozen stages gave of them, in place of their pixels.
    """
    instruments = images.table["instrument"].to_numpy(dtype=object)[rows]
    probabilities = np.empty((len(rows), len(predictor.classes)), dtype=np.float32)
    for instrument in sorted(set(instruments)):
        of_instrument = np.flatnonzero(instruments == instrument)
        for start in range(0, len(of_instrument), _BATCH):
            chosen = of_instrument[start : start + _BATCH]
            if features is None:
                pixels = images.pixels.read_many(rows[chosen])  # (B, H, W, C)
                probabilities[chosen] = predictor.probabilities(pixels, instrument)
            else:
                given = features.draw(rows[chosen], (0,))  # of one copy: whatever the seed
                probabilities[chosen] = predictor.of_features(given, instrument)
    return Predictions(images, rows, probabilities)


def predict_all(
    predictor: Predictor, data: TrainingData, *, seed: int, features: PlainFeatures | None = None
) -> dict[str, Predictions]:
    """Predictions on ``val`` (mid), ``target`` (without labels), ``oracle/<split>``, ``audit``."""

    def of(images: ImageSet) -> Predictions:
        rows = evaluated_rows(images, seed)
        given = None if features is None else features.of(images, rows)
        return predict(predictor, images, rows, given)

    found = {"val": of(data.mid_val), "target": of(data.target_train)}
    for split, images in data.oracle.items():
        if split == "train":  # the same images, now with their labels
            found["oracle/train"] = replace(found["target"], images=images)
        else:
            found[f"oracle/{split}"] = of(images)
    if data.audit is not None:
        found["audit"] = of(data.audit)
    return found


def score_all(
    predictions: Mapping[str, Predictions], data: TrainingData, *, seed: int, bootstrap: int = 0
) -> Scores:
    """Score predictions made at temperature 1 on everything that a run reports or chooses by.

    The temperature is fitted on mid val first, or is the starting bundle's where there are no
    images of mid; all scores are those at that temperature, as the bundle will be used.
    ``bootstrap`` resamples make the intervals; 0 makes none.
    """
    mid = predictions["val"]
    if data.start is None:
        temperature = fit_temperature(log_probabilities(mid.probabilities), mid.labels)
    else:
        temperature = data.start.temperature
    tempered = {place: found.tempered(temperature) for place, found in predictions.items()}
    metrics: dict[str, dict[str, Any]] = {}
    for place, found in tempered.items():
        metrics |= score_by_instrument(found, data.classes, place, bootstrap, seed)
    mid, target = tempered["val"], tempered["target"]
    oracle = [found for place, found in tempered.items() if place.startswith("oracle/")]
    audit = tempered.get("audit")
    infomax, effective_classes = target_figures(target.probabilities)
    if data.start is None:
        presumed = presumed_prior(mid.probabilities, mid.labels, data.learnt_shares)
        mid_shares = mid.probabilities.mean(0)
    else:
        presumed = np.array(list(presumed_shares(data.start).values()))
        mid_shares = np.array(list(data.start.priors.values()) or presumed)
    estimated = estimate_prior(target.probabilities, presumed, pseudocount=_PSEUDOCOUNT)
    return Scores(
        metrics=metrics,
        mid_macro_recall=None if data.start else _macro_recall(mid, data.classes),
        audit_macro_recall=_macro_recall(audit, data.classes) if audit else None,
        oracle_macro_recall=_macro_recall(oracle[-1], data.classes) if oracle else None,
        infomax=infomax,
        effective_classes=effective_classes,
        mid_effective_classes=float(np.exp(entropy(mid_shares))),
        mid_accuracy=_mid_accuracy(data.start.metrics if data.start else metrics),
        target_confidence=float(target.probabilities.max(1).mean()),
        temperature=temperature,
        presumed_prior=presumed.tolist(),
        target_prior=estimated.tolist(),
    )


def target_figures(probabilities: NDArray[np.float32]) -> tuple[float, float]:
    """InfoMax, nats, and effective classes of probabilities (N, K), as ``Scores`` has them."""
    marginal = float(entropy(probabilities.mean(0)))
    return marginal - float(entropy(probabilities).mean()), float(np.exp(marginal))


def score_by_instrument(
    predictions: Predictions, classes: Sequence[str], split: str, bootstrap: int, seed: int
) -> dict[str, dict[str, Any]]:
    """``<split>/<instrument>`` -> scores as ``evaluate --json``; unknown classes left out."""
    names = np.array(classes, dtype=object)
    known = predictions.labels >= 0
    result = {}
    for instrument in sorted(set(predictions.instruments[known])):
        chosen = known & (predictions.instruments == instrument)
        result[f"{split}/{instrument}"] = score(
            names[predictions.labels[chosen]].tolist(),
            names[predictions.predicted[chosen]].tolist(),
            predictions.probabilities[chosen].max(1),
            classes,
            bootstrap=bootstrap,
            seed=seed,
        )
    return result


def target_batches(
    data: TrainingData, *, seed: int, device: torch.device
) -> Iterator[torch.Tensor]:
    """The target's training images without augmentation, (N, C, H, W) uint8, whole batches only."""
    rows = evaluated_rows(data.target_train, seed)
    rows = np.random.default_rng(seed).permutation(rows)  # a manifest is often sorted by class
    whole = len(rows) - len(rows) % _BATCH if len(rows) > _BATCH else len(rows)
    return plain_batches(data.target_train, rows[:whole], device)


def plain_batches(
    images: ImageSet, rows: NDArray[np.intp], device: torch.device
) -> Iterator[torch.Tensor]:
    """``rows`` of ``images`` in their order, without augmentation, (B, C, H, W) uint8."""
    for start in range(0, len(rows), _BATCH):
        pixels = images.pixels.read_many(rows[start : start + _BATCH])  # (B, H, W, C)
        yield torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(device)


def temper(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """softmax(log(probabilities) / temperature), (N, K)."""
    logits = log_probabilities(probabilities) / temperature
    weights = np.exp(logits - logits.max(1, keepdims=True))
    tempered: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return tempered


def log_probabilities(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits up to a constant per row, finite, (N, K)."""
    logits: NDArray[np.float64] = np.log(np.clip(probabilities.astype(np.float64), 1e-30, None))
    return logits


def _mid_accuracy(metrics: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Over all instruments of ``val``; None where there is none."""
    of_mid = [values for place, values in metrics.items() if place.startswith("val/")]
    total = sum(values["n"] for values in of_mid)
    return sum(values["accuracy"] * values["n"] for values in of_mid) / total if total else None


def _macro_recall(predictions: Predictions, classes: Sequence[str]) -> float:
    known = predictions.labels >= 0
    labels, predicted = predictions.labels[known], predictions.predicted[known]
    recalls = [(predicted[labels == k] == k).mean() for k in range(len(classes)) if k in labels]
    return float(np.mean(recalls))
