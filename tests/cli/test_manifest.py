"""``plankton-da manifest``: what a user types, sees and gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from plankton_da.cli import run as run_command
from plankton_da.manifests.table import read_manifest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("check", "m.csv")`` in ``tmp_path``: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["plankton-da", "manifest", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_command()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """20 images of copepods and 10 of medusae in folders of their labels."""
    for label, count in (("copepod", 20), ("medusa", 10)):
        (tmp_path / "archive" / label).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (4, 3), number).save(tmp_path / "archive" / label / f"{number}.png")
    return tmp_path / "archive"


def test_build_check_split(run: Run, archive: Path, tmp_path: Path) -> None:
    (archive / "copepod" / "notes.txt").touch()
    code, out, err = run("build", "folders", "archive", "--instrument", "IFCB", "--out", "m.csv")
    assert code == 0
    assert "m.csv: 30 rows written" in out
    assert "notes.txt: not an image by its suffix '.txt'" in err
    code, out, err = run("check", "m.csv", "--open-images")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "m.csv: 30 rows, no problems",
        "instrument  label    no split  all",
        "IFCB        copepod        20   20",
        "IFCB        medusa         10   10",
        "IFCB        all            30   30",
    ]
    code, out, _ = run("split", "m.csv", "--ratios", "50,25,25", "--out", "sub/m2.parquet")
    assert code == 0
    assert "IFCB        copepod     10    5     5   20" in out
    assert run("check", "sub/m2.parquet", "--open-images")[0] == 0
    assert read_manifest(tmp_path / "sub" / "m2.parquet").table["image"][0].startswith("../archive")


def test_problems_end_with_code_3_and_are_listed(run: Run, archive: Path, tmp_path: Path) -> None:
    (archive / "medusa" / "3.png").unlink()
    (archive / "medusa" / "4.png").write_bytes(b"")
    table = "object_id,image,instrument,label\n"
    table += "".join(f"{i},archive/medusa/{i}.png,I,m\n" for i in (2, 3, 4))
    (tmp_path / "m.csv").write_text(table)
    code, out, err = run("check", "m.csv", "--open-images")
    assert code == 3
    assert "m.csv, line 3, column image: no such image: archive/medusa/3.png" in err
    assert "m.csv, line 4, column image: archive/medusa/4.png: empty_file" in err
    assert "m.csv, column label: all labelled rows have the label 'm'" in err
    assert out.startswith("m.csv: 3 rows, 3 problem(s)\n")


def test_json_is_one_document(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("object_id,image,instrument\n1,a.png,I\n")
    (tmp_path / "e.csv").write_text("")
    code, out, _ = run("check", "m.csv", "e.csv", "--json")
    assert code == 3
    document = json.loads(out)
    assert document["ok"] is False
    first, second = document["files"]
    assert first["counts"] == [{"instrument": "I", "split": "", "label": "", "n": 1}]
    problem = {"file": "m.csv", "line": 2, "column": "image", "code": "missing"}
    assert problem.items() <= first["problems"][0].items()
    assert second["totals"] == {"empty": 1}


def test_check_with_a_taxonomy(run: Run, archive: Path, tmp_path: Path) -> None:
    run("build", "folders", "archive", "--instrument", "IFCB", "--out", "m.csv")
    (tmp_path / "t.csv").write_text("label,class\ncopepod,crustacean\n")
    code, _, err = run("check", "m.csv", "--taxonomy", "t.csv")
    assert code == 3
    assert "line 22, column label: label 'medusa' (10 row(s)) is not in the taxonomy" in err
    (tmp_path / "t.csv").write_text("label,class\ncopepod,crustacean\nmedusa,jelly\n")
    code, out, _ = run("check", "m.csv", "--taxonomy", "t.csv")
    assert code == 0
    assert "IFCB        jelly             10   10" in out


def test_splits_replace_what_crosses_groups(run: Run, archive: Path, tmp_path: Path) -> None:
    table = "object_id,image,instrument,label,split,group\n"
    names = ("train", "val", "test")
    for i in range(20):
        table += f"{i},archive/copepod/{i}.png,I,{'ab'[i % 2]},{names[i % 3]},g{i // 4}\n"
    (tmp_path / "m.csv").write_text(table)
    assert run("check", "m.csv")[0] == 3
    assert run("split", "m.csv", "--out", "m2.csv", "--overwrite-split")[0] == 0
    assert run("check", "m2.csv")[0] == 0
    assert run("split", "m.csv", "--out", "m3.csv", "--seed", "0", "--overwrite-split")[0] == 0
    assert (tmp_path / "m2.csv").read_bytes() == (tmp_path / "m3.csv").read_bytes()
    code, _, err = run("split", "m.csv", "--out", "m4.csv", "--group", "grop", "--overwrite-split")
    assert code == 3
    assert "--group grop: no such column" in err


def test_usage_errors_end_with_code_2(run: Run, archive: Path, tmp_path: Path) -> None:
    build = ("build", "folders", "archive", "--instrument", "I", "--out", "m.csv")
    assert run(*build)[0] == 0
    before = (tmp_path / "m.csv").read_bytes()
    code, _, err = run(*build)
    assert code == 2
    assert "m.csv: exists already; add --overwrite" in err
    assert (tmp_path / "m.csv").read_bytes() == before
    assert run(*build, "--overwrite")[0] == 0
    assert run("build", "ifbc", "archive", "--instrument", "I", "--out", "x.csv")[0] == 2
    assert run("build", "folders", "absent", "--instrument", "I", "--out", "x.csv")[0] == 3
    for ratios in ("70,30", "a,b,c", "0,0,0", "70,15,-15", "7,1.5,1.5"):
        code, _, err = run("split", "m.csv", "--ratios", ratios, "--out", "x.csv")
        assert code == 2
        assert "70,15,15" in err
    assert not (tmp_path / "x.csv").exists()


def test_splits_are_not_replaced_unasked(run: Run, archive: Path, tmp_path: Path) -> None:
    assert run("build", "folders", "archive", "--instrument", "I", "--out", "m.csv")[0] == 0
    assert run("split", "m.csv", "--out", "divided.csv")[0] == 0
    code, _, err = run("split", "divided.csv", "--ratios", "50,25,25", "--out", "again.csv")
    assert code == 2
    assert "divided.csv: its rows have splits already (" in err
    assert "train 21" in err
    assert "--overwrite-split" in err
    assert not (tmp_path / "again.csv").exists()
    again = ("split", "divided.csv", "--ratios", "0.5,0.25,0.25", "--out", "again.csv")
    assert run(*again, "--overwrite-split")[0] == 0
    assert (read_manifest(tmp_path / "again.csv").table["split"] == "train").sum() == 15


def test_ratios_that_are_no_hundred_are_refused(run: Run, archive: Path, tmp_path: Path) -> None:
    assert run("build", "folders", "archive", "--instrument", "I", "--out", "m.csv")[0] == 0
    code, _, err = run("split", "m.csv", "--ratios", "70,15,10", "--out", "x.csv")
    assert code == 2
    assert "--ratios 70,15,10: they add up to 95" in err
    assert "73.68,15.79,10.53" in err
    assert run("split", "m.csv", "--ratios", "73.68,15.79,10.53", "--out", "x.csv")[0] == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.csv", None),
        ("m.txt", b"x"),
        ("m.parquet", b"no parquet"),
        ("m.csv", b"\xff\xfeo\0"),
        ("m.csv", b"object_id;image\n1;a.png\n"),
        ("m.csv", b"name,file\n1,a.png\n"),
    ],
    ids=["absent", "suffix", "no_parquet", "utf16", "semicolons", "other_columns"],
)
def test_no_counts_of_what_is_no_manifest(
    run: Run, tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run("check", name)
    assert code == 3
    assert len(out.splitlines()) == 1
    assert "problem(s)" in out
    assert err


def test_images_are_not_looked_for_where_that_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("object_id,image,instrument\n1,absent.png,I\n")
    assert run("check", "m.csv")[0] == 3
    assert run("check", "m.csv", "--no-images")[0] == 0
    code, _, err = run("check", "m.csv", "--no-images", "--open-images")
    assert code == 2
    assert "exclude each other" in err


def test_check_loads_no_torch(archive: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from plankton_da.cli import app\n"
        "for arguments in (['build', 'folders', 'archive', '--instrument', 'I', '--out', 'm.csv'],"
        " ['check', 'm.csv', '--open-images', '--json']):\n"
        "    app(['manifest', *arguments], standalone_mode=False)\n"
        "heavy = {'torch', 'timm', 'mlflow', 'albumentations', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stderr  # no progress bar where there is no terminal


@pytest.mark.skipif(os.name == "nt", reason="needs pseudo-terminals")
def test_the_progress_bar_is_for_terminals(run: Run, archive: Path, tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    run("build", "folders", "archive", "--instrument", "I", "--out", "m.csv")
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    done = subprocess.run(
        [sys.executable, "-m", "plankton_da", "manifest", "check", "m.csv", "--open-images"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=child,
        check=True,
    )
    os.close(child)
    shown = os.read(parent, 100_000).decode()
    os.close(parent)
    assert "opening images" in shown
    assert "30/30" in shown
    assert done.stdout.decode().startswith("m.csv: 30 rows")


@pytest.mark.skipif(os.name == "nt", reason="POSIX names")
def test_names_that_are_no_text_can_be_printed(run: Run, archive: Path) -> None:
    try:
        os.rename(archive / "medusa" / "1.png", os.fsencode(archive) + b"/medusa/\xff.txt")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    code, _, err = run("build", "folders", "archive", "--instrument", "I", "--out", "m.csv")
    assert code == 0
    assert r"\udcff.txt: not an image" in err


def test_the_real_archive(run: Run, shared_data: Path) -> None:
    folder = shared_data / "isiis_pwspc" / "isiis"
    code, out, err = run("build", "folders", str(folder), "--instrument", "ISIIS", "--out", "m.csv")
    assert (code, err) == (0, "")
    code, out, err = run("check", "m.csv")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].split() == ["ISIIS", "all", "5860", "5860"]
