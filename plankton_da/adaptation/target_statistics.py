"""What source_only is worth with the target's BatchNorm statistics, which cost no training."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping

import torch

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.preparation import TrainingData
from plankton_da.adaptation.scoring import (
    Predictions,
    predict,
    score_by_instrument,
    target_batches,
    target_figures,
)
from plankton_da.networks.batch_norm import batch_norms, estimate_statistics
from plankton_da.networks.bundle import Bundle, BundleInfo
from plankton_da.networks.classifier import PlanktonNetwork
from plankton_da.prediction.predictor import Predictor
from plankton_da.tracking.names import metric_key

_BATCHES = 16  # of 64 images: a thousand settle means and variances
_KINDS = ("accuracy", "macro_recall")


def with_target_statistics(
    network: PlanktonNetwork, data: TrainingData, *, seed: int, device: torch.device
) -> PlanktonNetwork:
    """A copy whose every BatchNorm layer, frozen ones too, has the statistics of target images.

    Source: adaptive batch normalisation, Li et al., arXiv:1603.04779.
    """
    adapted = copy.deepcopy(network).eval()
    adapted.use_domain("target")
    batches = itertools.islice(target_batches(data, seed=seed, device=device), _BATCHES)
    estimate_statistics(batch_norms(adapted), adapted.features, batches)
    return adapted


def score_with_target_statistics(
    method: Method,
    info: BundleInfo,
    data: TrainingData,
    predictions: Mapping[str, Predictions],
    *,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """Metric -> value, named as ``flat_metrics`` does; nothing where there is no BatchNorm.

    Mid keeps its own statistics, so only the target's images are looked at again.

    ``info`` of the bundle, with its temperature; ``predictions``: as ``predict_all`` gives them.
    """
    if not batch_norms(method.deployed):
        return {}
    network = with_target_statistics(method.deployed, data, seed=seed, device=device)
    predictor = Predictor(
        Bundle(info, network), engine="torch", device="cuda" if device.type == "cuda" else "cpu"
    )
    target = predict(predictor, predictions["target"].images, predictions["target"].rows)
    infomax, effective_classes = target_figures(target.probabilities)
    flat = {"selection/infomax": infomax, "selection/effective_classes": effective_classes}
    for place, found in predictions.items():
        if place == "audit" or place.startswith("oracle/"):
            again = predict(predictor, found.images, found.rows)
            for where, values in score_by_instrument(again, data.classes, place, 0, seed).items():
                split, instrument = where.removeprefix("oracle/").split("/", 1)
                flat |= {
                    metric_key(split, instrument, kind, where.startswith("oracle/")): values[kind]
                    for kind in _KINDS
                }
    return flat
