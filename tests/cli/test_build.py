"""``plankton-da manifest build`` and ``list ingests``: exit codes and what is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plankton_da.cli import run as run_command
from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.manifests.ingest import INGESTS
from plankton_da.manifests.table import read_manifest

PID = "D20160714T023910_IFCB101"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("list", "ingests")`` in ``tmp_path``: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["plankton-da", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_command()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


BUILD = ("manifest", "build", "ifcb", "in", "--instrument", "IFCB", "--out", "m.csv")


def test_what_cannot_be_read_is_named_and_the_rest_is_written(run: Run, tmp_path: Path) -> None:
    roi = write_bin(tmp_path / "in", PID, draw_pictures(2, seed=0))
    table = roi.with_suffix(".adc")
    table.write_text(table.read_text() + "3,nonsense\n")
    code, out, err = run(*BUILD)
    assert code == 5
    assert "m.csv: 2 rows written" in out
    assert f"not read: in/{PID}.adc:3: a trigger number, position, size or start byte" in err
    assert "m.csv is written, but 1 place(s) could not be read" in err
    assert len(read_manifest(tmp_path / "m.csv").table) == 2
    code, _, err = run(*BUILD, "--overwrite", "--allow-failures")
    assert code == 0
    assert f"{PID}.adc:3" in err


@pytest.mark.parametrize("format_name", ["folders", "planktonset"])
def test_a_broken_link_is_a_failure(run: Run, tmp_path: Path, format_name: str) -> None:
    folder = tmp_path / "in" / "train" / "copepod"
    folder.mkdir(parents=True)
    (folder / "1.png").touch()
    (folder / "2.png").symlink_to("nowhere.png")
    words = ("manifest", "build", format_name, "in", "--instrument", "I", "--out", "m.csv")
    code, out, err = run(*words)
    assert code == 5
    assert "m.csv: 1 row written" in out
    assert "2.png: a broken link" in err
    assert run(*words, "--overwrite", "--allow-failures")[0] == 0


@pytest.mark.parametrize("format_name", INGESTS)
def test_an_input_that_is_not_there_is_exit_code_3(run: Run, format_name: str) -> None:
    instrument = "IFCB" if format_name == "daplankton" else "I"
    words = ("manifest", "build", format_name, "absent.zip", "--instrument", instrument)
    code, _, err = run(*words, "--out", "m.csv")
    assert code == 3
    assert "absent.zip: no such file or folder" in err


def test_the_way_from_bins_to_a_checked_manifest(run: Run, tmp_path: Path) -> None:
    write_bin(tmp_path / "in", PID, draw_pictures(4, seed=1))
    for number, label in enumerate(("copepod", "diatom", "copepod"), 1):
        folder = tmp_path / "classes" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{PID}_{number:05d}.png").touch()
    code, out, err = run(*BUILD, "--labels", "classes")
    assert code == 0
    assert err == "3 of 4 images have a label\n"
    assert out.splitlines() == [
        "instrument  label       no split  all",
        "IFCB        (no label)         1    1",
        "IFCB        copepod            2    2",
        "IFCB        diatom             1    1",
        "IFCB        all                4    4",
        "",
        "m.csv: 4 rows written",
    ]
    assert run("manifest", "check", "m.csv", "--open-images")[0] == 0


def test_an_option_of_another_format_is_refused_before_anything_is_read(run: Run) -> None:
    code, out, err = run(*BUILD, "--column", "image=path")
    assert (code, out) == (2, "")
    assert "the format ifcb does not know --column; it has --labels, --all-labels" in err
    code, _, err = run(*BUILD, "--column", "image")
    assert code == 2
    assert "--column image: expected MANIFEST_COLUMN=TABLE_COLUMN" in err


def test_the_list_says_what_each_format_reads_and_fills(run: Run) -> None:
    code, out, _ = run("list", "ingests")
    assert code == 0
    lines = out.splitlines()
    names = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert names == list(INGESTS)
    at = next(place for place, line in enumerate(lines) if line.startswith("ifcb "))
    assert lines[at + 1].split()[:4] == ["columns:", "object_id,", "image,", "instrument,"]
    assert lines[at + 2].strip() == "options: --labels, --all-labels"
    code, out, _ = run("list", "ingests", "--json")
    (ifcb,) = [each for each in json.loads(out) if each["name"] == "ifcb"]
    assert ifcb.keys() == {"name", "summary", "columns", "options"}
    assert "volume_ml" in ifcb["columns"]
    assert ifcb["options"] == ["--labels", "--all-labels"]


def test_of_many_faults_the_first_twenty_are_shown(run: Run, tmp_path: Path) -> None:
    for number in range(25):
        roi = write_bin(
            tmp_path / "in", f"D20160714T{number:06d}_IFCB101", draw_pictures(1, seed=2)
        )
        if number:
            roi.with_suffix(".adc").write_text("damaged\n")
    code, _, err = run(*BUILD)
    assert code == 5
    assert err.count("not read: ") == 20
    assert "... and 4 more: a trigger number" in err
