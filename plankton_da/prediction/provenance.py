"""Who classified what with what: kept with every part, told in ``run.json``."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from plankton_da.prediction.predictor import Predictor

_PACKAGES = ("plankton-da", "numpy", "pillow", "opencv-python-headless", "onnxruntime", "torch")


def provenance(predictor: Predictor, image_timeout: float) -> dict[str, Any]:
    """This machine, this software, this moment."""
    return {
        "engine": predictor.engine,
        "device": predictor.device,
        "image_timeout_seconds": image_timeout,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }
