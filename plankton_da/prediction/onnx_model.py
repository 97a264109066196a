"""``model.onnx`` and ``model.int8.onnx`` in ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import BundleError
from plankton_da.prediction.cores import available_cores


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
        (result,) = self._session.run(["probabilities"], {"images": images})
        return np.asarray(result, dtype=np.float32)
