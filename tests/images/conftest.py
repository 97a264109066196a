"""Pictures drawn by code, so that every byte of a fixture has a reason."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plankton_da.images.preprocess import InstrumentLook, Preprocess


@pytest.fixture(scope="session")
def copepod() -> NDArray[np.uint8]:
    """uint8 (48, 64): a dark ellipse with an antenna on light, slightly uneven ground."""
    y, x = np.mgrid[:48, :64]
    pixels = 225.0 + 4 * np.sin(x / 5) + 3 * np.cos(y / 7)
    pixels[((x - 30) / 14) ** 2 + ((y - 24) / 7) ** 2 < 1] = 60
    pixels[(abs(x - 40) < 1) & (y > 4) & (y < 24)] = 120
    drawn: NDArray[np.uint8] = pixels.round().astype(np.uint8)
    return drawn


@pytest.fixture(scope="session")
def preprocess() -> Preprocess:
    """Two instruments of opposite polarity, 32 pixels, gray."""
    return Preprocess(
        image_size=32,
        instruments={
            "shadow": InstrumentLook(),
            "dark_field": InstrumentLook(invert=True, polarity="light_on_dark"),
        },
    )


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Pixels or a picture -> a file's bytes."""

    def encode(picture: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def refs(tmp_path: Path) -> list[str]:
    """70 images in tmp_path, more than two blocks; row n has the one gray value n + 1."""
    (tmp_path / "images").mkdir()
    for n in range(70):
        Image.new("L", (20 + n, 30), n + 1).save(tmp_path / "images" / f"{n}.png")
    return [f"images/{n}.png" for n in range(70)]
