"""The network that a run starts from."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from plankton_da.adaptation.methods import METHODS, Method
from plankton_da.adaptation.preparation import TrainingData
from plankton_da.config import BatchNormMode, Config
from plankton_da.errors import ConfigError
from plankton_da.networks.backbone import Weights, resolve_weights
from plankton_da.networks.bundle import read_bundle, read_bundle_info
from plankton_da.networks.classifier import PlanktonNetwork, build_network, resolve_batch_norm

log = logging.getLogger(__name__)


def find_weights(config: Config) -> Weights:
    """Where the network's weights will come from; said in the log.

    Raises
    ------
    ModelError
        There are none to be had.
    BundleError, ConfigError
        ``model.from_bundle`` is no bundle, or one of another backbone, width, size or colour.
    """
    if config.model.from_bundle is None:
        weights = resolve_weights(config.model.backbone, config.model.pretrained)
    else:
        weights = Weights(f"weights of the bundle {config.model.from_bundle}")
        _require_fitting(config, Path(config.model.from_bundle))
    log.info("%s: %s", config.model.backbone, weights.words)
    return weights


def build_method(config: Config, data: TrainingData, weights: Weights) -> Method:
    """The method over a network with its starting weights; new layers are drawn from the seed."""
    torch.manual_seed(config.seed)
    network = build_network(
        config.model,
        len(data.classes),
        preprocess=data.preprocess,
        domains={
            **dict.fromkeys(data.mid_instruments, "mid"),
            **dict.fromkeys(data.target_instruments, "target"),
        },
        batch_norm=METHODS[config.method.name].batch_norm or _batch_norm(config, weights),
        weights=weights,
        seed=config.seed,
    )
    if config.model.from_bundle is not None:
        _start_from(network, Path(config.model.from_bundle), data.classes)
    method = METHODS[config.method.name](network, config.method, config.model.label_smoothing)
    method.few_labels_weight = config.data.target_labelled_weight
    return method


def _batch_norm(config: Config, weights: Weights) -> BatchNormMode:
    if config.model.from_bundle is not None and config.model.batch_norm == "auto":
        return read_bundle_info(Path(config.model.from_bundle)).batch_norm
    return resolve_batch_norm(config.model, weights)


def _require_fitting(config: Config, folder: Path) -> None:
    info = read_bundle_info(folder)
    pairs = {
        "model.backbone": (config.model.backbone, info.backbone),
        "model.bottleneck_dim": (config.model.bottleneck_dim, info.bottleneck_dim),
        "data.image_size": (config.data.image_size, info.preprocess.image_size),
        "data.preprocess.color": (config.data.preprocess.color, info.preprocess.color),
    }
    differing = [
        f"{key} is {ours!r}, the bundle's {theirs!r}"
        for key, (ours, theirs) in pairs.items()
        if ours != theirs
    ]
    if differing:
        raise ConfigError(
            f"model.from_bundle: {folder} does not fit: {'; '.join(differing)}; set these as the "
            f"bundle has them"
        )


def _start_from(network: PlanktonNetwork, folder: Path, classes: tuple[str, ...]) -> None:
    """Copy everything that has the same name and shape; the head only if the classes agree."""
    bundle = read_bundle(folder)
    source, own = bundle.network.state_dict(), network.state_dict()
    if "statistics" in {name.split(".")[0] for name in own.keys() ^ source.keys()}:
        raise ConfigError(
            f"model.from_bundle: {folder} has model.batch_norm {bundle.info.batch_norm}, this "
            f"config {network.batch_norm}; set model.batch_norm: {bundle.info.batch_norm}"
        )
    same_classes = bundle.info.classes == classes
    network.load_state_dict(
        {
            name: source[name] if same_classes or not name.startswith("head.") else tensor
            for name, tensor in own.items()
        }
    )
    if not same_classes:
        log.info("the bundle's classes differ: the classifier head starts anew")
