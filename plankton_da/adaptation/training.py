"""One training run, read top to bottom."""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import nn

from plankton_da.adaptation.batches import step_batches
from plankton_da.adaptation.checkpoints import (
    Checkpoint,
    latest_checkpoint,
    random_state,
    read_checkpoint,
    restore_random_state,
    write_checkpoint,
)
from plankton_da.adaptation.compilation import compile_backbones, eager
from plankton_da.adaptation.conclusion import conclude, evaluate_now
from plankton_da.adaptation.device import mixed_precision, settle_device
from plankton_da.adaptation.forward_layout import settle_layout
from plankton_da.adaptation.gradients import compute_gradients
from plankton_da.adaptation.interruption import Interruption
from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.optimizers import create_optimizer, set_learning_rate
from plankton_da.adaptation.pairs import batch_loader
from plankton_da.adaptation.plain_features import PlainFeatures
from plankton_da.adaptation.preparation import TrainingData, prepare
from plankton_da.adaptation.progress import LOG_EVERY, Meter, ProgressLine
from plankton_da.adaptation.ranks import Ranks, joined_ranks
from plankton_da.adaptation.record import flat_metrics, record_start
from plankton_da.adaptation.run_folder import RunFolder, TrainResult
from plankton_da.adaptation.scoring import history_entry, plain_batches, val_accuracies
from plankton_da.adaptation.start import build_method, find_start
from plankton_da.adaptation.yardstick import yardstick_config
from plankton_da.config import Config
from plankton_da.errors import ModelError
from plankton_da.networks.memory import keep_freed_memory
from plankton_da.tracking.runs import NullRun, Run, check_tracking, start_run

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where decoded images and features of frozen stages are kept between runs."""
    return platformdirs.user_cache_path("plankton_da") / "pixels"


def train(
    config: Config,
    *,
    backbone: nn.Module | None = None,
    resume: bool = False,
    progress: bool = False,
) -> TrainResult:
    """Train as ``config`` says, choose a checkpoint without target labels, write the bundle.

    ``backbone`` stands in place of a timm network, with the weights it has, and is left unchanged:
    images (N, 3, H, W) from -1 to 1 in, features (N, num_features) out, ``num_features`` being its
    attribute; ``model.backbone`` names it. Its code is not in the bundle: ``read_bundle``.

    With ``resume`` a missing run starts, an unfinished one continues bit for bit in the same
    MLflow run, and a finished one returns its result. Each process that ``torchrun`` starts calls
    this, and gets the same result.

    Raises
    ------
    PlanktonDAError
        Its subclasses: bad config, manifests, images, weights, tracking server or output folder.
    KeyboardInterrupt
        After a checkpoint was written; ``resume`` continues there.
    """
    with joined_ranks(config.training.device) as ranks:
        return _train(config, backbone, ranks, resume, progress and ranks.is_first)


def _train(
    config: Config, backbone: nn.Module | None, ranks: Ranks, resume: bool, progress: bool
) -> TrainResult:
    folder = RunFolder(Path(config.output_dir))
    ranks.first_does(ranks.require_parts, config.data.batch_size_per_instrument)
    finished = ranks.first_says(folder.claim, config, resume=resume, processes=ranks.count)
    if finished is not None:
        return finished
    ranks.first_does(folder.lock)
    try:
        return _train_locked(config, backbone, ranks, folder, progress)
    finally:
        folder.unlock()


def _train_locked(
    config: Config, backbone: nn.Module | None, ranks: Ranks, folder: RunFolder, progress: bool
) -> TrainResult:
    keep_freed_memory()
    device = settle_device(config.training.device)
    start = ranks.in_turn(find_start, config, backbone)
    ranks.first_does(folder.require_same_start, start.fingerprint)
    ranks.first_does(check_tracking, config.tracking)
    look = start.normalisation(config)
    data = ranks.in_turn(prepare, config, look, cache_folder(), progress=progress, start=start.info)

    method = build_method(config, data, start).to(device).train()
    run: Run = ranks.first_does(_open_run, config, folder) or NullRun()
    try:
        ranks.first_does(folder.begin, config, run.run_id, start.fingerprint, ranks.count)
        ranks.first_does(record_start, run, config, data)
        yardstick = _yardstick(config, method, backbone, progress)
        history, scalars = _run_steps(config, method, data, run, folder, device, progress, ranks)
        with eager(config.training.compile):
            end = partial(conclude, config, method, data, run, folder, device)
            result = ranks.first_says(end, history, scalars, yardstick)
    except KeyboardInterrupt:
        run.finish("KILLED")
        raise
    except BaseException:  # whatever it is: the run in MLflow says so
        run.finish("FAILED")
        raise
    run.finish()
    return result


def _open_run(config: Config, folder: RunFolder) -> Run:
    return start_run(
        config.tracking,
        name=folder.path.resolve().name,
        run_id=folder.run_id(),
        tags={"method": config.method.name, "output_dir": str(folder.path.resolve())},
    )


def _yardstick(
    config: Config, method: Method, backbone: nn.Module | None, progress: bool
) -> TrainResult | None:
    """The same run without adaptation, in a folder within output_dir; made or resumed first."""
    if not config.training.yardstick or not method.adapts or method.source_free:
        return None
    log.info("source_only first, the yardstick of %s", config.method.name)
    state = random_state()
    result = train(yardstick_config(config), backbone=backbone, resume=True, progress=progress)
    restore_random_state(state)  # the run itself is as without a yardstick
    return result


def _run_steps(
    config: Config,
    method: Method,
    data: TrainingData,
    run: Run,
    folder: RunFolder,
    device: torch.device,
    progress: bool,
    ranks: Ranks,
) -> tuple[list[dict[str, Any]], list[dict[str, float]]]:
    steps = config.training.steps
    optimizer = create_optimizer(method, config.optimizer)
    start, history, scalars, meter = 0, [], [], Meter()
    if (latest := ranks.first_says(latest_checkpoint, folder.checkpoints)) is not None:
        checkpoint = read_checkpoint(latest)
        method.load_state_dict(checkpoint.method)
        optimizer.load_state_dict(checkpoint.optimizer)
        start, history, scalars = checkpoint.step, checkpoint.history, checkpoint.scalars
        meter = Meter(**checkpoint.meter)
        log.info("continuing after step %d of %d", start, steps)

    batches = step_batches(
        config, method, data, folder=cache_folder(), device=device, progress=progress, ranks=ranks
    )
    loader = batch_loader(
        batches,
        range(start, steps),
        workers=config.data.workers,
        pin_memory=device.type == "cuda",
    )
    if latest is not None:
        restore_random_state(checkpoint.random)
    features = PlainFeatures(method.deployed, cache_folder(), device)

    def evaluate(step: int) -> None:
        with eager(config.training.compile):
            scores = evaluate_now(config, method, data, device, features)
        history.append(history_entry(step, scores))
        run.log_metrics(flat_metrics(scores), step)
        line.evaluated(val_accuracies(scores))

    def save(step: int) -> None:
        states = method.state_dict(), optimizer.state_dict(), random_state()
        checkpoint = Checkpoint(step, *states, history, scalars, meter.state())
        write_checkpoint(checkpoint, folder.checkpoints)

    instruments = 2 if method.adapts and not method.source_free else 1
    images_per_step = config.data.batch_size_per_instrument * instruments
    line = ProgressLine(start, steps, images_per_step, show=progress)
    autocast = mixed_precision(config.training.precision, device)
    if config.training.compile:
        compile_backbones(method, device)
    settle_layout(config, method, batches, cache_folder(), device, autocast, ranks)
    module = ranks.wrap(method, config.data.image_size)
    with Interruption() as interruption:
        for done, host_batch in enumerate(loader, start + 1):
            if method.refresh_every and (done - 1) % method.refresh_every == 0:
                with line.evaluation():
                    coming = range(done - 1, min(done - 1 + method.refresh_every, steps))
                    with eager(config.training.compile):
                        _refresh(method, data, batches.target_rows(coming), device)
            ranks.seed(config.seed, done)
            batch = host_batch.to(device)
            fraction = (done - 1) / steps
            set_learning_rate(optimizer, fraction)
            optimizer.zero_grad(set_to_none=True)
            output = compute_gradients(
                module,
                batch,
                torch.tensor(fraction, device=device),
                sdat=config.optimizer.sdat,
                autocast=autocast,
            )
            optimizer.step()

            meter.add({"loss": output.loss.detach(), **output.scalars})
            line.advance()
            if done % LOG_EVERY == 0 or done == steps:
                means = ranks.means(meter.read())
                ranks.first_does(_require_finite, means["loss"], done, config.optimizer.lr)
                scalars.append({"step": done, **means})
                run.log_metrics({f"train/{name}": value for name, value in means.items()}, done)
                line.report(means)
            if evaluates := done % config.training.evaluate_every == 0 or done == steps:
                with line.evaluation():
                    ranks.first_does(evaluate, done)
            stops = ranks.any(interruption.requested) and done < steps
            if evaluates or stops:
                ranks.first_does(save, done)
            if stops:
                log.warning("interrupted after step %d; continue with --resume", done)
                raise KeyboardInterrupt
    line.close()
    return history, scalars


def _refresh(
    method: Method, data: TrainingData, rows: NDArray[np.intp], device: torch.device
) -> None:
    images = partial(plain_batches, data.target_train, rows, device)
    method.refresh(torch.from_numpy(rows).to(device), images)


def _require_finite(loss: float, step: int, lr: float) -> None:
    if not math.isfinite(loss):
        raise ModelError(
            f"the loss is {loss} at step {step}; lower optimizer.lr (it is {lr}) and start again"
        )
