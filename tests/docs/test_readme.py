"""The README's commands, run in order as a reader would, and the messages it explains."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

NOT_RUN = {
    "make install": "builds another environment; the tests run in the one it made",
    ". .venv/bin/activate": "the tests run in the active environment",
    "pip install '.[offline-weights]'": "changes the active environment",
    "make test": "is what runs this test",
    "make demo": "takes minutes; the archive that it draws is drawn here with fewer images",
    "plankton-da quantize": "refuses the model of a few steps that is trained here",
    "mlflow ui": "serves until it is stopped",
    "mlflow models serve": "serves until it is stopped; tests of tracking ask such a server",
}
"""command, or its first words -> why this test leaves it out"""

SMALLER = [
    *("--set", "data.image_size=32"),
    *("--set", "data.batch_size_per_instrument=8"),
    *("--set", "data.workers=0"),
    *("--set", "model.backbone=test_resnet"),
    *("--set", "model.pretrained=none"),
    *("--set", "training.steps=4"),
    *("--set", "training.evaluate_every=2"),
]
"""what ``plankton-da train`` gets in addition, so that a training takes seconds"""


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every line of the sh blocks, in order."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def reason_not_to_run(command: str) -> str | None:
    """Why a command is left out; None: it is run."""
    for words, reason in NOT_RUN.items():
        if command == words or command.startswith(f"{words} "):
            return reason
    return None


def test_every_exception_is_in_the_readme() -> None:
    left_out = {
        words
        for words in NOT_RUN
        for command in commands()
        if command == words or command.startswith(f"{words} ")
    }
    assert left_out == set(NOT_RUN)


def test_the_readme_shows_every_command(generated: dict[str, str]) -> None:
    shown = {tuple(shlex.split(command)[:3]) for command in commands()}
    sections = re.findall(r"^## `plankton-da (.+)`$", generated["docs/cli.md"], re.MULTILINE)
    for words in sections:
        if words not in ("manifest", "demo"):  # a group; `make demo`
            expected = ("plankton-da", *words.split())
            assert any(found[: len(expected)] == expected for found in shown), words


@pytest.mark.timeout(900)
def test_the_readme_can_be_followed(tmp_path: Path) -> None:
    from plankton_da.demo.archive import write_archive

    write_archive(
        tmp_path / "demo" / "archive",
        seed=0,
        mid_per_class=8,
        target_images=16,
        target_test_images=12,
    )
    assert "demo/archive/mid" in README
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("MLFLOW_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    for command in commands():
        if reason_not_to_run(command):
            continue
        words = shlex.split(command)
        if words[:2] == ["plankton-da", "train"]:
            words += SMALLER
        run(words, tmp_path, environment)
    assert _labels(tmp_path / "predictions.csv") == 16
    assert len([path for path in (tmp_path / "sorted").rglob("*.png") if path.is_file()]) == 16
    for block in blocks("python"):
        assert "00000.png" in run([sys.executable, "-c", block], tmp_path, environment)


def run(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{shlex.join(words)}\n{done.stderr}"
    return done.stdout


def _labels(predictions: Path) -> int:
    import pandas as pd

    table = pd.read_csv(predictions, keep_default_na=False)
    return int((table["label"] != "").sum())
