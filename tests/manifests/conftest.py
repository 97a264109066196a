"""Small archives of drawn images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def draw(tmp_path: Path) -> Callable[[str], Path]:
    """``draw("folder/name.png")`` makes an image of 4 x 3 pixels below ``tmp_path``."""

    def make(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3), 200).save(path, format="png")
        return path

    return make
