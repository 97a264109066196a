"""What ``quantize`` adds to a bundle: a file, and a key of ``bundle.json`` that vouches for it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

INT8_FILE = "model.int8.onnx"


class Int8Info(BaseModel):
    """The 8-bit model that was accepted, and what it was accepted on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    """of ``model.int8.onnx``"""
    images: int
    """of mid's val split, that both models labelled"""
    agreement: float
    """share of them with the same label"""
    macro_recall: float
    """of the 8-bit model on them"""
    float_macro_recall: float
    """of the float model on them"""
    target_agreement: float
    """share of the same labels on target training images that it was not calibrated on, or on all
    where there are no others"""
    calibration: dict[str, int]
    """instrument -> training images that ranges and rounding were settled on"""
    manifests: dict[str, str]
    """manifest file -> sha256 fingerprint"""
    versions: dict[str, str]
    created: str
    """UTC, ISO 8601"""


def without_int8(text: bytes) -> bytes:
    """``bundle.json`` as it was before ``quantize``."""
    if b'"int8"' not in text:
        return text
    try:
        about = json.loads(text)
    except ValueError:
        return text
    if not isinstance(about, dict) or about.pop("int8", None) is None:
        return text
    return info_text(about)


def info_text(about: dict[str, Any]) -> bytes:
    """``bundle.json`` as it is written."""
    return (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode()
