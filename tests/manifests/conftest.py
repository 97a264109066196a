"""Small archives of drawn images."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

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


@pytest.fixture(scope="session")
def draw_ecotaxa() -> ModuleType:
    """The script that draws EcoTaxa's archives."""
    path = Path(__file__).with_name("draw_ecotaxa.py")
    spec = importlib.util.spec_from_file_location("draw_ecotaxa", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write(draw_ecotaxa: ModuleType, tmp_path: Path) -> Callable[[str], Path]:
    """``write("zooscan")`` draws an EcoTaxa archive of that name."""

    def make(name: str) -> Path:
        archive: Path = draw_ecotaxa.write(name, tmp_path)
        return archive

    return make
