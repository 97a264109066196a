"""The network that a run starts from."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from plankton_da.adaptation.methods import METHODS, Method
from plankton_da.adaptation.preparation import TrainingData
from plankton_da.config import BatchNormMode, Config
from plankton_da.errors import ConfigError
from plankton_da.networks.backbone import Weights, normalisation, resolve_weights
from plankton_da.networks.bundle import BundleInfo, bundle_hash, read_bundle, read_bundle_info
from plankton_da.networks.classifier import PlanktonNetwork, build_network, resolve_batch_norm
from plankton_da.networks.own_backbone import NORMALISATION, module_hash, require_own
from plankton_da.tracking.registry import resolve_bundle

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where the network's weights come from."""

    weights: Weights
    bundle: Path | None = None
    """folder of ``model.from_bundle``"""
    backbone: nn.Module | None = None
    """the caller's, in place of a timm network"""

    @property
    def info(self) -> BundleInfo | None:
        """What the bundle says of itself."""
        return read_bundle_info(self.bundle) if self.bundle else None

    @property
    def fingerprint(self) -> str | None:
        """Tells starts apart that one and the same config may have."""
        if self.bundle is not None:
            return bundle_hash(self.bundle)
        return None if self.backbone is None else module_hash(self.backbone)

    def normalisation(self, config: Config) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel that the backbone expects."""
        return NORMALISATION if self.backbone is not None else normalisation(config.model.backbone)


def find_start(config: Config, backbone: nn.Module | None = None) -> Start:
    """Find the weights to start from; said in the log.

    ``backbone`` is a module of the caller's in place of a timm network.

    Raises
    ------
    ModelError
        There are none to be had.
    BundleError, ConfigError
        ``model.from_bundle`` is no bundle, or one of another backbone, width, size or colour.
    RegistryError, TrackingError
        It is not in the registry, or that does not answer.
    """
    name = config.model.from_bundle
    if backbone is not None:
        require_own(backbone, config.model.backbone)
        if config.model.pretrained not in ("auto", "none"):
            raise ConfigError(
                f"model.pretrained: {config.model.pretrained} has no effect on a backbone module "
                f"of your own; load the file into the module, and set model.pretrained: auto"
            )
    if name is None and backbone is not None:
        start = Start(Weights("a module of your own, with the weights it has"), None, backbone)
    elif name is None:
        start = Start(resolve_weights(config.model.backbone, config.model.pretrained))
    else:
        start = Start(
            Weights(f"weights of the bundle {name}"),
            resolve_bundle(name, config.tracking.uri),
            backbone,
        )
        _require_fitting(config, start)
    log.info("%s: %s", config.model.backbone, start.weights.words)
    return start


def build_method(config: Config, data: TrainingData, start: Start) -> Method:
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
        batch_norm=METHODS[config.method.name].batch_norm or _batch_norm(config, start),
        weights=start.weights,
        seed=config.seed,
        backbone=start.backbone,
    )
    if start.bundle is not None:
        _start_from(network, start.bundle, data.classes, start.backbone)
    method = METHODS[config.method.name](network, config.method, config.model.label_smoothing)
    if not any(parameter.requires_grad for parameter in method.parameters()):
        raise ConfigError(
            f"nothing would learn: model.freeze is {config.model.freeze} and model.bottleneck_dim "
            f"{config.model.bottleneck_dim}, and {config.method.name} leaves the head as it is; "
            f"set model.freeze to none or to the stages that stay as they are"
        )
    method.few_labels_weight = config.data.target_labelled_weight
    method.allocate(len(data.target_train))
    method.prepare(data.classes, data.preprocess.hash(), config.tracking.uri)
    return method


def _batch_norm(config: Config, start: Start) -> BatchNormMode:
    if start.info is not None and config.model.batch_norm == "auto":
        return start.info.batch_norm
    return resolve_batch_norm(config.model, start.weights)


def bundle_settings(name: str, tracking_uri: str | None = None) -> dict[str, Any]:
    """Dotted config keys -> what a config needs to start from the bundle ``name``.

    Raises
    ------
    BundleError, RegistryError, TrackingError
        There is no such bundle, or the registry does not answer.
    """
    info = read_bundle_info(resolve_bundle(name, tracking_uri))
    return {"model.from_bundle": name, **_demands(info)}


def _demands(info: BundleInfo) -> dict[str, Any]:
    return {
        "model.backbone": info.backbone,
        "model.bottleneck_dim": info.bottleneck_dim,
        "data.image_size": info.preprocess.image_size,
        "data.preprocess.color": info.preprocess.color,
        "data.preprocess.scale": info.preprocess.scale,
    }


def _require_fitting(config: Config, start: Start) -> None:
    if start.info is None:
        return
    differing = [
        f"{key} is {ours!r}, the bundle's {theirs!r}"
        for key, theirs in _demands(start.info).items()
        if (ours := attrgetter(key)(config)) != theirs
    ]
    if differing:
        raise ConfigError(
            f"model.from_bundle: {config.model.from_bundle} does not fit: {'; '.join(differing)}; "
            f"set these as the bundle has them"
        )


def _start_from(
    network: PlanktonNetwork,
    folder: Path,
    classes: tuple[str, ...],
    backbone: nn.Module | None,
) -> None:
    """Copy everything that has the same name and shape; the head only if the classes agree."""
    bundle = read_bundle(folder, backbone=backbone)
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
