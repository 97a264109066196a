"""``model.onnx`` and ``model.int8.onnx`` in ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import BundleError
from plankton_da.prediction.cores import available_cores

Model: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""images (B, C, H, W) uint8 to probabilities (B, K)"""
_AT_ONCE = 8
"""images: what layers hand on stays in a processor's cache, which 32 images' does not"""


class OnnxModel:
    """Preprocessed pixels in, probabilities out. Several threads may call at a time."""

    def __init__(self, path: Path, classes: Sequence[str], threads: int | None = None) -> None:
        """``threads`` that share the work of one call; None: as many as there are cores.

        Raises
        ------
        BundleError
            The file is damaged, or of other classes.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads would spin on the cores that a DoubtfulModel's other session needs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 (its exceptions share no base class of their own)
            raise BundleError(f"{path}: damaged: {error}; write the bundle again") from None
        found = [output.name for output in session.get_outputs()], session.get_outputs()[0].shape
        if found[0] != ["probabilities"] or found[1][-1] != len(classes):
            raise BundleError(
                f"{path}: expected one output 'probabilities' of {len(classes)} classes; "
                f"found {found[0]} of shape {found[1]}; write the bundle again"
            )
        self._session = session

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images (B, C, H, W) uint8 to probabilities (B, K)."""
        parts = [
            self._run(images[at : at + _AT_ONCE]) for at in range(0, max(len(images), 1), _AT_ONCE)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (result,) = self._session.run(["probabilities"], {"images": images})
        return np.asarray(result, dtype=np.float32)


class DoubtfulModel:
    """A fast model, and an exact one that has a second look where the fast one is in doubt.

    Several threads may call at a time.
    """

    def __init__(self, fast: Model, exact: Model, doubt: float) -> None:
        """``doubt``: log of how much likelier than the second the first class must be."""
        self._fast = fast
        self._exact = exact
        self._doubt = doubt

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images (B, C, H, W) uint8 to probabilities (B, K)."""
        probabilities = self._fast(images)
        doubtful = margins(probabilities) < self._doubt
        if doubtful.any():
            probabilities[doubtful] = self._exact(images[doubtful])
        return probabilities


def margins(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, K) -> (B,): log of how much likelier than the second the first class is."""
    if probabilities.shape[1] < 2:
        return np.full(len(probabilities), np.inf, np.float32)
    best = np.partition(probabilities, -2, axis=1)[:, -2:]  # (B, 2), the second and the first
    best = np.log(np.maximum(best, np.finfo(np.float32).tiny))
    return np.asarray(best[:, 1] - best[:, 0], dtype=np.float32)
