"""``plankton-da taxonomy``: what a user types, sees and gets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plankton_da.cli import run as run_command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("manifest", "check", "m.csv")`` in ``tmp_path``: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    header = "object_id,image,instrument,label\n"
    mid = "1,a.png,CAM1,copepod_oithona\n2,a.png,CAM1,Detritus\n3,a.png,CAM1,bubble\n"
    (tmp_path / "mid.csv").write_text(header + mid)
    (tmp_path / "target.csv").write_text(header + "1,a.png,CAM2,Oithona\n2,a.png,CAM2,detritus\n")

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["plankton-da", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_command()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


SUGGEST = ("taxonomy", "suggest", "mid.csv", "target.csv", "--out", "t.csv")
CHECK = ("manifest", "check", "mid.csv", "target.csv", "--taxonomy", "t.csv")


def test_suggest_confirm_check(run: Run, tmp_path: Path) -> None:
    code, out, err = run(*SUGGEST)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "near: 1 label(s), 1 to confirm",
        "folded: 1 label(s), 0 to confirm",
        "  copepod_oithona -> Oithona? a similar name only (90)",
        "without a partner, so that they stay classes of their own: bubble",
        "t.csv: 5 labels written",
        "1 of them to confirm; until then the file is refused: correct the class where it is "
        "wrong, then empty the cell check",
    ]
    code, _, err = run(*CHECK)
    assert code == 3
    assert "t.csv, line 2, column check: 'copepod_oithona' -> 'Oithona' is a guess" in err
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace("a similar name only", ""))
    code, out, err = run(*CHECK)
    assert (code, err) == (0, "")
    assert "taxonomy t.csv:\n  CAM1: no partner elsewhere: bubble (1)" in out


def test_one_document(run: Run) -> None:
    code, out, _ = run(*SUGGEST, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["to_check"] == 1
    assert document["without_partner"]["mid"] == ["bubble"]
    assert {row["label"]: row["how"] for row in document["rows"]} == {
        "copepod_oithona": "near",
        "bubble": "",
        "Detritus": "folded",
        "Oithona": "target",
        "detritus": "target",
    }


def test_near_says_from_where_on(run: Run) -> None:
    assert "near" not in run(*SUGGEST, "--near", "95")[1]
    assert run(*SUGGEST, "--overwrite", "--near", "101")[0] == 2
    code, _, err = run(*SUGGEST)
    assert code == 2
    assert "t.csv: exists already; add --overwrite" in err


def test_a_spreadsheet_of_another_country(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label;class\nbubble;\n")
    code, _, err = run(*CHECK)
    assert code == 3
    assert "t.csv, line 1: the columns are separated by semicolons" in err


def test_suggest_loads_no_torch(run: Run, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from plankton_da.cli import app\n"
        f"app({list(SUGGEST)}, standalone_mode=False)\n"
        "heavy = {'torch', 'timm', 'mlflow', 'albumentations', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
