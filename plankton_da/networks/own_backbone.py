"""A torch module of the caller's in place of a timm network."""

from __future__ import annotations

import copy
import hashlib
from typing import cast

import torch
from torch import Tensor, nn

from plankton_da.errors import ModelError
from plankton_da.networks.backbone import Backbone, is_known

NORMALISATION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""mean and standard deviation per channel: such a module is given values from -1 to 1"""


class ModuleBackbone(Backbone):
    """Normalised images in, features out, by a module whose inside is not known."""

    def pooled(self, part: nn.Module, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) float to features (N, num_features)."""
        return cast(Tensor, part(images.contiguous()))  # plain modules may flatten by a view

    def stages(self) -> list[list[str]]:
        """Unknown.

        Raises
        ------
        ModelError
            Always.
        """
        raise ModelError(
            f"model.freeze: the backbone {self.name} is a module of your own, of which no stages "
            f"are known; use none or all (and optimizer.layer_decay: 1)"
        )


def wrap_module(module: nn.Module, name: str, image_size: int) -> ModuleBackbone:
    """A copy of ``module``, weights included, as backbone for square images of ``image_size``.

    Parameters
    ----------
    module
        ``forward`` takes images (N, 3, H, W) float32, from -1 to 1, and gives features
        (N, num_features); the attribute ``num_features`` says how many.
    name
        What messages and ``bundle.json`` call it; no name of timm's.

    Raises
    ------
    ModelError
        It is not such a module, or bears a name of timm's.
    """
    require_own(module, name)
    backbone = ModuleBackbone(copy.deepcopy(module), name)
    images = torch.zeros(2, 3, image_size, image_size)
    modes = {part: part.training for part in backbone.modules()}
    try:
        with torch.no_grad():
            features: object = backbone.eval()(images)
    except RuntimeError as error:
        raise ModelError(
            f"the backbone module {name} cannot take images {tuple(images.shape)} float32: {error}"
        ) from error
    for part, mode in modes.items():
        part.training = mode
    wanted = (len(images), backbone.num_features)
    if not isinstance(features, Tensor) or tuple(features.shape) != wanted:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ModelError(
            f"the backbone module {name} must give features (N, num_features), here {wanted}; "
            f"found {found}: pool or flatten in its forward, and say its width in num_features"
        )
    return backbone


def require_own(module: object, name: str) -> None:
    """Refuse what is no module with ``num_features``, or bears a name of timm's.

    Raises
    ------
    ModelError
        See above.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"backbone must be a torch.nn.Module; found {type(module).__name__}; the name of a "
            f"timm network goes into model.backbone"
        )
    width = getattr(module, "num_features", None)
    if not isinstance(width, int) or width < 1:
        raise ModelError(
            f"the backbone module {type(module).__name__} must say the width of its features in "
            f"the attribute num_features; found {width!r}"
        )
    if is_known(name):
        raise ModelError(
            f"model.backbone: {name} is a network of timm's, but a module of your own was given; "
            f"name that as its bundle shall call it, such as model.backbone: my_cnn"
        )


def module_hash(module: nn.Module) -> str:
    """sha256 over names and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, Tensor):  # a module may keep more in there
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
