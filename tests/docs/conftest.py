"""The documents, and the script that writes some of them."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def generated() -> dict[str, str]:
    """What ``python docs/generate.py`` would write: file, relative to the repository -> text."""
    write: Callable[[], dict[str, str]] = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))[
        "generated"
    ]
    return write()
