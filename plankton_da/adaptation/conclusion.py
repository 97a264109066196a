"""The end of a run: the chosen checkpoint becomes a bundle."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import torch

from plankton_da.adaptation.candidates import keep_target_predictions
from plankton_da.adaptation.checkpoints import checkpoint_path, read_checkpoint
from plankton_da.adaptation.diagnosis import diagnose
from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.plain_features import PlainFeatures
from plankton_da.adaptation.preparation import TrainingData
from plankton_da.adaptation.record import bundle_info, flat_metrics, record_pictures
from plankton_da.adaptation.run_folder import RunFolder, TrainResult
from plankton_da.adaptation.scoring import Scores, predict_all, score_all, target_batches
from plankton_da.adaptation.selection import choose
from plankton_da.adaptation.target_statistics import score_with_target_statistics
from plankton_da.adaptation.yardstick import (
    FOLDER,
    TARGET_STATISTICS,
    compare_with_yardstick,
    metrics_under,
)
from plankton_da.config import Config
from plankton_da.errors import DataError, ModelError
from plankton_da.evaluation.quantization import quantize, words_of
from plankton_da.networks.bundle import Bundle, read_bundle_info, write_bundle
from plankton_da.prediction.abstention import entropy_percentiles
from plankton_da.prediction.predictor import Predictor
from plankton_da.tracking.runs import Run

_BOOTSTRAP = 1000  # resamples behind the interval of the final scores

log = logging.getLogger(__name__)


def conclude(
    config: Config,
    method: Method,
    data: TrainingData,
    run: Run,
    folder: RunFolder,
    device: torch.device,
    history: list[dict[str, Any]],
    scalars: list[dict[str, float]],
    yardstick: TrainResult | None,
) -> TrainResult:
    """Score the chosen checkpoint, write its bundle and what is known of it."""
    choice = choose(history, config.training, adapts=method.adapts)
    log.info("step %d is selected; scoring it, writing its bundle", choice.step)
    checkpoint = read_checkpoint(checkpoint_path(folder.checkpoints, choice.step))
    method.load_state_dict(checkpoint.method)
    chosen = next(entry for entry in history if entry["step"] == choice.step)
    predictor = predictor_of(config, method, data, device)
    predictions = predict_all(predictor, data, seed=config.seed)
    scores = score_all(predictions, data, seed=config.seed, bootstrap=_BOOTSTRAP)
    certainty = entropy_percentiles(predictions["val"].tempered(scores.temperature).probabilities)
    info = bundle_info(config, method, data, run, scores, certainty)
    if not folder.bundle.exists():  # a killed run may have come so far
        write_bundle(Bundle(info, method.deployed), folder.bundle)
    if config.training.quantize:
        _quantize(folder.bundle)
    keep_target_predictions(folder.path, predictions["target"], data.classes)
    folder.write("history.json", history)
    metrics = flat_metrics(scores)
    if config.method.name == "source_only":
        again = score_with_target_statistics(
            method, info, data, predictions, seed=config.seed, device=device
        )
        metrics |= metrics_under(TARGET_STATISTICS, again)
    sentences = diagnose(chosen, scalars, data.preprocess, len(data.bad_images))
    if yardstick is not None:
        sentences = [*compare_with_yardstick(metrics, yardstick.metrics), *sentences]
        metrics |= metrics_under(FOLDER, yardstick.metrics)
    run.log_file(folder.write("diagnosis.json", sentences))
    if data.bad_images:
        run.log_file(folder.write("bad_images.json", data.bad_images))
    if run.run_id is not None:
        record_pictures(run, predictions, data.classes)
    run.log_folder(folder.bundle, "bundle")
    run.log_metrics({f"selected/{key}": value for key, value in metrics.items()}, choice.step)
    run.log_tags({"selected_step": str(choice.step), "selected_by": choice.selected_by})
    result = TrainResult(
        run.run_id, str(folder.bundle), choice.step, choice.selected_by, metrics, sentences
    )
    folder.finish(result)
    return result


def evaluate_now(
    config: Config,
    method: Method,
    data: TrainingData,
    device: torch.device,
    features: PlainFeatures,
) -> Scores:
    """Score the network as it is between two steps."""
    method.settle(target_batches(data, seed=config.seed, device=device))
    predictor = predictor_of(config, method, data, device)
    predictions = predict_all(predictor, data, seed=config.seed, features=features)
    scores = score_all(predictions, data, seed=config.seed)
    method.network.use_domain("mid")
    method.train()
    return scores


def _quantize(bundle: Path) -> None:
    """Give the bundle an 8-bit model, if one is accepted; training is finished either way."""
    if read_bundle_info(bundle).int8 is not None:  # a killed run may have come so far
        return
    try:
        log.info(words_of(quantize(bundle), bundle))
    except (ModelError, DataError) as error:  # a refusal, or a network or data that are not for it
        log.warning("%s", error)


def predictor_of(
    config: Config, method: Method, data: TrainingData, device: torch.device
) -> Predictor:
    """The network as it would be deployed now."""
    info = bundle_info(config, method, data)
    kind: Literal["cpu", "cuda"] = "cuda" if device.type == "cuda" else "cpu"
    return Predictor(Bundle(info, method.deployed), engine="torch", device=kind)
