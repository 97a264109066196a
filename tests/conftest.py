"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and instrument files, which users do not have."""
    named = os.environ.get("PLANKTON_DA_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "isiis_pwspc" / "all.csv").is_file():
        words = f"no real test data at {folder}; set PLANKTON_DA_TEST_DATA to the folder that has them"
        if os.environ.get("PLANKTON_DA_REQUIRE_TEST_DATA"):
            pytest.fail(words)
        pytest.skip(words)
    return folder
