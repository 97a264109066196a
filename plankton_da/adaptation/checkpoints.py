"""A run's state on disk: whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from plankton_da.errors import ModelError, OutputError

_UNFINISHED = ".tmp"
_DAMAGE = (
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    EOFError,
    pickle.UnpicklingError,
)
"""what torch raises on files that are something else, or cut off"""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the rest of a run depends on; batches follow from the seed and the step."""

    step: int
    """steps done"""
    method: dict[str, Any]
    optimizer: dict[str, Any]
    random: dict[str, Any]
    """torch's generators"""
    history: list[dict[str, Any]]
    """one entry per evaluation"""
    scalars: list[dict[str, float]]
    """one entry per logging interval"""
    meter: dict[str, Any] = field(default_factory=dict)
    """training scalars since the last logging interval"""


def random_state() -> dict[str, Any]:
    """State of torch's generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """Set torch's generators to a state of ``random_state``."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def checkpoint_path(folder: Path, step: int) -> Path:
    """The file of the checkpoint after ``step`` steps."""
    return folder / f"step_{step:07d}.pt"


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write atomically.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable; older checkpoints stay as they are.
    """
    path = checkpoint_path(folder, checkpoint.step)
    temporary = path.with_suffix(f".{os.getpid()}{_UNFINISHED}")
    buffer = io.BytesIO()  # torch's own file writer does not say that a disk is full
    torch.save(vars(checkpoint), buffer)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"step_*{_UNFINISHED}"):  # of a killed process
            leftover.unlink(missing_ok=True)
        with temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path}: the checkpoint cannot be written: {error.strerror or error}; make room or "
            f"permit writing there, and continue with --resume"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without executing code from it.

    Raises
    ------
    ModelError
        The file is missing or damaged.
    """
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except _DAMAGE as error:
        words = str(error).splitlines()[0] if str(error) else "it is empty or cut off"
        raise ModelError(
            f"{path}: damaged, or of another version: {words}; remove this file, and --resume "
            f"continues from the checkpoint before it, or from the start"
        ) from error


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps."""
    return max(folder.glob("step_*.pt"), default=None)
