"""``report`` as users type it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]


@pytest.fixture
def classified(command: Run, drawn_lab: Path, finished_run: Path, tmp_path: Path) -> Path:
    """``P.csv`` of some drawn images, one of them cut short."""
    inputs = tmp_path / "in"
    inputs.mkdir()
    images = sorted((drawn_lab / "archive" / "target").rglob("*.png"))[:4]
    for number, image in enumerate(images):
        (inputs / f"{number}.png").write_bytes(image.read_bytes())
    (inputs / "cut.png").write_bytes(images[0].read_bytes()[:100])
    done = command("classify", finished_run / "bundle", inputs, "--out", "P.csv")
    assert done.returncode == 5
    return tmp_path / "P.csv"


def test_of_predictions(command: Run, classified: Path, finished_run: Path, tmp_path: Path) -> None:
    done = command("report", "P.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "P.html\n", "")
    page = (tmp_path / "P.html").read_text()
    assert f"classified by {finished_run / 'bundle'} on 20" in page
    assert "<b>cut.png</b> <span>truncated: " in page
    assert "was changed after classify wrote it" not in page
    assert page.count("data:image/webp;base64,") >= 4
    again = command("report", "P.csv")
    assert again.returncode == 2
    assert "P.html: exists already; add --overwrite" in again.stderr
    assert command("report", "P.csv", "--overwrite", "--out", "P.html").returncode == 0


def test_pictures_that_were_moved(command: Run, classified: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "2.png").unlink()
    done = command("report", "P.csv", "--out", "X.html", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["out"], told["images"], told["pictures"]) == ("X.html", 5, 3)
    assert list(told["lost"]) == ["in/2.png"]
    assert "1 pictures cannot be opened now; were they moved?\n  in/2.png: missing" in done.stderr


@pytest.mark.parametrize("inside", ["", "bundle"])
def test_of_a_run_and_of_a_bundle(
    command: Run, finished_run: Path, inside: str, tmp_path: Path
) -> None:
    done = command("report", finished_run / inside)
    assert (done.returncode, done.stdout) == (0, "report.html\n")
    page = (tmp_path / "report.html").read_text()
    assert "val/SHADOW" in page
    assert "SHADOW → DARK" in page
    assert ('id="diagnosis"' in page) == (inside == "")
    assert str(tmp_path) not in page


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nowhere.csv",), 3, "nowhere.csv: no such file"),
        (("nowhere",), 4, "nowhere: no such folder; a bundle is"),
        (("in",), 4, "in is not a bundle"),
        (("P.csv", "--out", "P.pdf"), 2, "ends in .html"),
        (("P.csv", "--out", "no/such/P.html"), 2, "no/such/P.html: cannot be written"),
        (("in/m.csv",), 3, "column score: this column is required"),
    ],
)
def test_mistakes(
    command: Run, classified: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "in" / "m.csv").write_text("object_id,image,instrument\na,0.png,DARK\n")
    done = command("report", *words)
    assert done.returncode == code
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".html", ".tmp")] == []
