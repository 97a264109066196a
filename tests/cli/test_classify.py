"""``plankton-da classify`` as its users run it: exit codes, stdout, messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Draw = Callable[[Path, int], Path]


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """A working directory with three pictures in ``in``."""
    for n in range(3):
        draw(tmp_path / "in" / f"{n}.png", n)
    return tmp_path


def classify(
    bundle: Path, *arguments: str, cwd: Path, out: str = "P.csv"
) -> subprocess.CompletedProcess[str]:
    program = "import sys; from plankton_da.cli import main; sys.argv[0] = 'plankton-da'; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "classify", str(bundle), *arguments, "--out", out],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_json_is_all_of_stdout_and_the_same_again(tiny_bundle: Path, folder: Path) -> None:
    done = classify(tiny_bundle, "in", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["images"] == document["classified"] == 3
    assert document["failed"] == 0
    assert document["engine"] == "onnx"
    assert document["images_per_second"] > 0
    assert sum(document["labels"].values()) == 3
    assert "\r" not in done.stderr, "a bar is for terminals"
    again = json.loads(classify(tiny_bundle, "in", "--json", cwd=folder).stdout)
    assert (again["classified"], again["reused"]) == (0, 3)
    assert again["labels"] == document["labels"]


def test_failures_are_exit_code_5_with_everything_written(tiny_bundle: Path, folder: Path) -> None:
    (folder / "in" / "bad.jpg").write_text("text")
    done = classify(tiny_bundle, "in", cwd=folder)
    assert done.returncode == 5
    assert "1 of 4 images failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "not_an_image 1" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert (folder / "P.csv").read_text().count("\n") == 5
    again = classify(tiny_bundle, "in", cwd=folder)
    assert again.returncode == 5, "nothing to do, but the failure is still there"
    assert classify(tiny_bundle, "in", "--allow-failures", cwd=folder).returncode == 0


def test_every_option_arrives(tiny_bundle: Path, folder: Path) -> None:
    options = "--engine torch --device cpu --instrument CAM1 --top-k 2 --all-scores"
    done = classify(
        tiny_bundle, "in", *options.split(), "--sort-into", "sorted", cwd=folder, out="P.parquet"
    )
    assert done.returncode == 0, done.stderr
    import pandas as pd

    table = pd.read_parquet(folder / "P.parquet")
    assert list(table.columns[8:]) == ["label_2", "score_2", "p_copepod", "p_medusa", "p_NA"]
    assert set(table["instrument"]) == {"CAM1"}
    assert len(list((folder / "sorted").rglob("*.png"))) == 3
    options_written = json.loads((folder / "P.run.json").read_text())["options"]
    assert options_written["engine"] == "torch"


def test_a_name_that_is_not_utf8(tiny_bundle: Path, folder: Path, draw: Draw) -> None:
    if sys.platform != "linux":
        pytest.skip("file systems elsewhere refuse such names")
    strange = folder / os.fsdecode(b"\xe9t\xe9")
    draw(strange / "1.png", 1)
    done = classify(tiny_bundle, "in", str(strange), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "%E9t%E9/1.png,%E9t%E9/1.png," in (folder / "P.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["in", "--top-k", "9"], 2, "from 1 to 3"),
        (["in", "--engine", "best"], 2, "'best'"),
        (["nowhere"], 3, "nowhere: no such file or folder"),
        (["in", "--instrument", "CAM7"], 3, "CAM7"),
        ([], 2, "INPUT"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], code: int, words: str, tiny_bundle: Path, folder: Path
) -> None:
    done = classify(tiny_bundle, *arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in folder.iterdir()] == ["in"]


def test_no_bundle(folder: Path) -> None:
    done = classify(folder / "nothing", "in", cwd=folder)
    assert done.returncode == 4
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_model_is_exit_code_4(tiny_bundle: Path, folder: Path) -> None:
    assert classify(tiny_bundle, "in", cwd=folder).returncode == 0
    done = classify(tiny_bundle, "in", "--top-k", "2", cwd=folder)
    assert done.returncode == 4
    assert "--overwrite" in done.stderr
    assert classify(tiny_bundle, "in", "--top-k", "2", "--overwrite", cwd=folder).returncode == 0


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_is_not_writable(tiny_bundle: Path, folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o500)
    done = classify(tiny_bundle, "in", cwd=folder, out="locked/P.csv")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_out_where_no_folder_can_be(tiny_bundle: Path, folder: Path) -> None:
    done = classify(tiny_bundle, "in", cwd=folder, out="in/0.png/P.csv")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
