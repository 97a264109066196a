"""The network: normalisation, backbone, bottleneck, classifier head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self, TypeAlias, cast

import torch
from torch import Tensor, nn

from plankton_da.config import BatchNormMode, ModelConfig
from plankton_da.errors import ConfigError, DataError, ModelError
from plankton_da.images.preprocess import Preprocess
from plankton_da.networks.backbone import (
    Backbone,
    Weights,
    create_backbone,
    resolve_weights,
)
from plankton_da.networks.batch_norm import BatchNorm, Domain, DomainStatistics, batch_norms
from plankton_da.networks.division import Division, divide
from plankton_da.networks.own_backbone import wrap_module

Layout: TypeAlias = Literal["concatenated", "halves"]
LAYOUTS: tuple[Layout, Layout] = ("concatenated", "halves")


class PlanktonNetwork(nn.Module):
    """Preprocessed uint8 images in, class logits out.

    Parameters
    ----------
    backbone
        Normalised images (N, 3, H, W) to features (N, num_features).
    num_classes
        K.
    bottleneck_dim
        Width of the Linear-BatchNorm-ReLU layer between backbone and head; 0 for none.
    batch_norm
        ``frozen``: the backbone's BatchNorm keeps the statistics it came with. ``shared``: one set
        for both domains. ``per_domain``: one set for mid, one for the target.
    domains
        Instrument name to domain.
    mean, std
        Per channel, on a scale of 0 to 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        bottleneck_dim: int,
        batch_norm: BatchNormMode,
        domains: Mapping[str, Domain],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255, persistent=False)
        self.backbone = backbone
        self.bottleneck: nn.Module = nn.Identity()
        if bottleneck_dim:
            self.bottleneck = nn.Sequential(
                nn.Linear(backbone.num_features, bottleneck_dim),
                nn.BatchNorm1d(bottleneck_dim),
                nn.ReLU(),
            )
        self.feature_dim = bottleneck_dim or backbone.num_features
        self.head = nn.Linear(self.feature_dim, num_classes)
        self.batch_norm: BatchNormMode = batch_norm
        self.layout: Layout | None = None
        """how a batch of each domain passes the backbone; None: as is mostly faster"""
        self.domains = dict(domains)
        self.statistics = (
            DomainStatistics(self) if batch_norm == "per_domain" and batch_norms(self) else None
        )
        self._frozen_layers: list[nn.Module] = []
        self._division: Division | None = None

    def embed(self, images: Tensor) -> Tensor:
        """Images (N, 1 or 3, H, W) uint8 to backbone features (N, num_features).

        Floating point is what ``frozen_features`` gave of images: the rest is done.
        """
        if images.is_floating_point():
            return self._embed_rest(images)
        return cast(Tensor, self.backbone(self._normalised(images)))

    def divide(self, images: Tensor) -> bool:
        """Whether the frozen stages come apart, so that ``frozen_features`` can be had.

        Tried on ``images`` (N, 1 or 3, H, W) uint8.
        """
        self._division = divide(self.backbone, self.backbone.network, self._normalised(images))
        return self._division is not None

    @property
    def is_divided(self) -> bool:
        """Whether ``frozen_features`` can be had."""
        return self._division is not None

    def frozen_features(self, images: Tensor) -> Tensor:
        """Images (N, 1 or 3, H, W) uint8 to what the frozen stages give, (N, ...) float32."""
        if self._division is None:
            raise ModelError("the network's frozen stages were not divided from the rest")
        return self._division.front(self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        normalised = (images.to(self.mean.dtype) - self.mean) / self.std  # (N, 3, H, W)
        return normalised.to(memory_format=torch.channels_last)

    def _embed_rest(self, features: Tensor) -> Tensor:
        if self._division is None:
            raise ModelError("features of frozen stages need a network that was divided")
        features = features.to(self.mean.dtype)
        if self._division.rest is None:
            return features
        if features.ndim == 4:
            features = features.to(memory_format=torch.channels_last)
        self._division.rest.training = self.backbone.network.training
        return self.backbone.pooled(self._division.rest, features)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, 1 or 3, H, W) uint8 to features f (N, feature_dim), after the bottleneck."""
        return cast(Tensor, self.bottleneck(self.embed(images)))

    def classify(self, features: Tensor) -> Tensor:
        """Features (N, feature_dim) to logits (N, K)."""
        return cast(Tensor, self.head(features))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 1 or 3, H, W) uint8 to logits (N, K)."""
        return self.classify(self.features(images))

    def pair_features(self, mid_images: Tensor, target_images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a batch of each domain: (M, feature_dim) and (T, feature_dim).

        Each domain passes under its own BatchNorm statistics where it has any. Shared statistics
        see one concatenated batch, since two batches in turn would train on statistics that
        prediction never uses.
        """
        mid, target = self.embed_pair(mid_images, target_images)
        if self.statistics is None:
            features = cast(Tensor, self.bottleneck(torch.cat([mid, target])))
            return features[: len(mid)], features[len(mid) :]
        self.use_domain("mid")
        mid = self.bottleneck(mid)
        self.use_domain("target")
        target = self.bottleneck(target)
        self.use_domain("mid")
        return mid, target

    def embed_pair(
        self, mid_images: Tensor, target_images: Tensor, layout: Layout | None = None
    ) -> tuple[Tensor, Tensor]:
        """Backbone features of a batch of each domain: (M, num_features), (T, num_features).

        ``layout`` (None: the network's own) changes nothing but the time it takes; there is a
        choice where ``layout_is_free``.
        """
        if self._layout(layout, mid_images.device) == "concatenated":
            embedded = self.embed(torch.cat([mid_images, target_images]))  # (M + T, num_features)
            return embedded[: len(mid_images)], embedded[len(mid_images) :]
        self.use_domain("mid")
        mid = self.embed(mid_images)
        self.use_domain("target")
        target = self.embed(target_images)
        self.use_domain("mid")
        return mid, target

    @property
    def layout_is_free(self) -> bool:
        """Whether nothing in the backbone couples a batch's images while it learns."""
        return self.batch_norm == "frozen" or not batch_norms(self.backbone)

    def _layout(self, asked: Layout | None, device: torch.device) -> Layout:
        if not self.layout_is_free:
            return "halves" if self.batch_norm == "per_domain" else "concatenated"
        # On most processors two small batches stay in the cache.
        return asked or self.layout or ("halves" if device.type == "cpu" else "concatenated")

    def require_layout(self, layout: Layout) -> None:
        """Settle on one ``layout``.

        Raises
        ------
        ConfigError
            BatchNorm in the backbone leaves no choice.
        """
        only = self._layout(layout, self.mean.device)
        if only != layout:
            raise ConfigError(
                f"model.forward_layout: {layout}, but model.batch_norm is {self.batch_norm} here, "
                f"which goes with {only} alone; set model.forward_layout: auto"
            )
        self.layout = layout

    def use_domain(self, domain: Domain) -> None:
        """Read (and, in training, update) the BatchNorm statistics of ``domain``."""
        if self.statistics is not None:
            self.statistics.use(self, domain)

    def use_instrument(self, instrument: str) -> None:
        """Read the BatchNorm statistics of ``instrument``'s domain.

        Raises
        ------
        DataError
            The network was not trained for this instrument.
        """
        if instrument not in self.domains:
            raise DataError(
                f"instrument {instrument!r} is not one of the model's: {', '.join(self.domains)}"
            )
        self.use_domain(self.domains[instrument])

    def freeze(self, stages: int | None) -> None:
        """Stop the backbone's first ``stages`` stages (None: all of it) from learning.

        Raises
        ------
        ModelError
            The backbone has fewer stages, or does not say what they are.
        """
        if stages is None:
            names = [name for name, _ in self.backbone.network.named_parameters()]
        else:
            known = self.backbone.stages()
            if stages > len(known):
                raise ModelError(
                    f"model.freeze: {stages}, but {self.backbone.name} has {len(known)} stages; "
                    f"give a number up to that, or all"
                )
            names = [name for stage in known[:stages] for name in stage]
        parameters = dict(self.backbone.network.named_parameters())
        for name in names:
            parameters[name].requires_grad_(False)
        self._frozen_layers = [
            layer
            for layer in self.backbone.modules()
            if (own := list(layer.parameters())) and not any(p.requires_grad for p in own)
        ]
        self.train(self.training)

    def frozen_state(self) -> dict[str, Tensor]:
        """Parameters and buffers of the frozen stages, which decide ``frozen_features``."""
        frozen = {id(layer) for layer in self._frozen_layers}
        return {
            f"{name}.{key}": tensor
            for name, layer in self.backbone.named_modules()
            if id(layer) in frozen
            for key, tensor in layer.state_dict().items()
        }

    def learning_batch_norms(self) -> list[tuple[str, BatchNorm]]:
        """BatchNorm layers outside of frozen stages, which keep the statistics they came with."""
        frozen = {id(layer) for layer in self._frozen_layers}
        return [(name, layer) for name, layer in batch_norms(self) if id(layer) not in frozen]

    def train(self, mode: bool = True) -> Self:
        """Set training mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.batch_norm == "frozen":
            for _, batch_norm in batch_norms(self.backbone):
                batch_norm.eval()
        for layer in self._frozen_layers:
            layer.eval()
        return self

    def _apply(self, fn, recurse: bool = True) -> Self:  # type: ignore[no-untyped-def]  # torch's hook
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # moves buffers one by one: aliases become copies
        if self.statistics is not None:
            self.statistics.use(self, self.statistics.domain)
        return self


def build_network(
    config: ModelConfig,
    num_classes: int,
    *,
    preprocess: Preprocess,
    domains: Mapping[str, Domain],
    batch_norm: BatchNormMode | None = None,
    weights: Weights | None = None,
    seed: int = 0,
    backbone: nn.Module | None = None,
) -> PlanktonNetwork:
    """Make the network that ``config`` describes; new layers are drawn from ``seed``.

    ``backbone`` is copied, with its weights, and stands in place of a timm network; see
    ``plankton_da.networks.own_backbone.wrap_module`` for what it must offer.

    Raises
    ------
    ModelError
        The backbone or its weights cannot be had.
    ConfigError
        BatchNorm leaves no choice of ``forward_layout``.
    """
    if backbone is not None:
        weights = Weights("the module's own")
    weights = weights or resolve_weights(config.backbone, config.pretrained)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PlanktonNetwork(
            create_backbone(config.backbone, weights, preprocess.image_size)
            if backbone is None
            else wrap_module(backbone, config.backbone, preprocess.image_size),
            num_classes,
            bottleneck_dim=config.bottleneck_dim,
            batch_norm=batch_norm or resolve_batch_norm(config, weights),
            domains=domains,
            mean=preprocess.mean,
            std=preprocess.std,
        )
    if config.forward_layout != "auto":
        network.require_layout(config.forward_layout)
    if config.freeze != "none":
        network.freeze(None if config.freeze == "all" else config.freeze)
    if backbone is not None:
        return network  # a plain module may flatten its maps by a view
    return network.to(memory_format=torch.channels_last)


def resolve_batch_norm(config: ModelConfig, weights: Weights) -> BatchNormMode:
    """``auto`` keeps pretrained statistics and learns per domain from random weights."""
    if config.batch_norm != "auto":
        return config.batch_norm
    return "frozen" if weights.path is not None else "per_domain"
