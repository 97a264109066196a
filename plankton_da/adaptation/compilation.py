"""Backbones compiled for the steps, and run as they are elsewhere."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext

import torch

from plankton_da.adaptation.methods import Method
from plankton_da.errors import ModelError
from plankton_da.networks.classifier import PlanktonNetwork

_COMPILERS = ("c++", "g++", "clang++")


def compile_backbones(method: Method, device: torch.device, backend: str = "inductor") -> None:
    """Compile the backbone of each network that the method holds, in place; names do not change.

    Compiled at the first pass of each shape of batch, of which a run has one or two. Progress and
    lambda2 are tensors and stay outside, so that no step is compiled anew.

    Raises
    ------
    ModelError
        This machine cannot compile.
    """
    if backend == "inductor" and device.type == "cpu" and not any(map(shutil.which, _COMPILERS)):
        raise ModelError(
            f"training.compile: true needs a C++ compiler on a CPU, but none of "
            f"{', '.join(_COMPILERS)} is here; install one, or set training.compile: false"
        )
    for module in method.modules():
        if isinstance(module, PlanktonNetwork):
            module.backbone.compile(backend=backend, dynamic=False)


def eager(compiled: bool) -> AbstractContextManager[object]:
    """For a while, nothing is compiled: evaluations have batches of other sizes, and few of them.

    ``compiled`` says whether anything was.
    """
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
