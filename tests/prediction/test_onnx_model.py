"""Two sessions beside each other do not take each other's cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from plankton_da.prediction.onnx_model import OnnxModel


def test_idle_threads_do_not_spin(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    opened = onnxruntime.InferenceSession

    def keep(*args: Any, **kwargs: Any) -> Any:
        made.append(opened(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", keep)
    OnnxModel(tiny_bundle / "model.onnx", ("copepod", "medusa", "NA"), threads=2)
    (session,) = made
    options = session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
