"""Where a training runs, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from plankton_da.errors import ModelError


def settle_device(asked: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device for ``training.device``; on CUDA, cuDNN is held to deterministic kernels.

    Raises
    ------
    ModelError
        ``cuda`` is asked for and there is none.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise ModelError("training.device: cuda, but torch sees no CUDA device; use auto or cpu")
    if asked == "cuda" or (asked == "auto" and torch.cuda.is_available()):
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        return torch.device("cuda")
    return torch.device("cpu")


def mixed_precision(
    precision: Literal["auto", "fp32", "bf16"], device: torch.device
) -> AbstractContextManager[object]:
    """Autocast for ``training.precision``; ``auto`` is fp32 on a CPU, where bf16 is far slower."""
    if precision == "bf16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
