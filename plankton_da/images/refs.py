"""References to images, and the one place that opens them."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

IMAGE_SUFFIXES: frozenset[str] = frozenset()
MAX_PIXELS = 100_000_000


def encode_name(name: bytes | str) -> str: ...
def decode_name(text: str) -> str: ...
def ref_of(path: Path | str, relative_to: Path | str) -> str: ...
def open_image(ref: str, root: Path) -> Image.Image: ...
