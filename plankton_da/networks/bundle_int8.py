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
    doubt: float
    """log of how much likelier the first label must be than the second; where it is not, the float
    model has a second look at the image"""
    second_looks: float
    """share of target training images that get one"""
    images: int
    """of mid's val split, that were labelled with and without the 8-bit model"""
    agreement: float
    """share of them with the same label"""
    macro_recall: float
    """with it"""
    float_macro_recall: float
    """without it"""
    target_agreement: float
    """share of target training images with the same label"""
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
