"""Manifests that cannot be used: exit code 3, every fault with its place, nothing written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ended = subprocess.CompletedProcess[str]
Rows = list[dict[str, str]]
Run = Callable[..., Ended]


def without_column(rows: Rows) -> Rows:
    return [{key: value for key, value in row.items() if key != "instrument"} for row in rows]


def duplicate_ids(rows: Rows) -> Rows:
    return [*rows, rows[0], rows[3]]


def missing_images(rows: Rows) -> Rows:
    rows[1]["image"] = "gone/a.png"
    rows[40]["image"] = "gone/b.png"
    return rows


def label_only_in_val(rows: Rows) -> Rows:
    return [{**row, "split": "val" if row["label"] == "medusa" else "train"} for row in rows]


def one_class(rows: Rows) -> Rows:
    return [{**row, "label": "copepod"} for row in rows]


@pytest.mark.parametrize(
    ("spoil", "checked", "trained"),
    [
        (
            without_column,
            ["line 1, column instrument", "found: object_id, image, label"],
            ["line 1, column instrument", "found: object_id, image, label"],
        ),
        (
            duplicate_ids,
            ["line 50, column object_id", "line 2 already", "line 51", "line 5 already"],
            ["line 50, column object_id", "line 2 already", "line 51", "line 5 already"],
        ),
        (
            missing_images,
            ["line 3, column image", "gone/a.png", "line 42", "gone/b.png"],
            ["2 of ", "gone/a.png: missing", "gone/b.png: missing", "on_bad_image: skip"],
        ),
        (
            label_only_in_val,
            ["line 42, column label", "'medusa' has 8 row(s) in val and none in train"],
            ["column label", "'medusa' has 8 row(s) in val and none in train", "taxonomy"],
        ),
        (
            one_class,
            ["column label", "'copepod'", "two classes or more"],
            ["column label", "'copepod'", "two classes or more"],
        ),
    ],
)
def test_faults_are_named_with_their_place(
    spoil: Callable[[Rows], Rows],
    checked: list[str],
    trained: list[str],
    command: Run,
    train: Run,
    rows_of: Callable[[str], Rows],
    write_rows: Callable[[str, Rows], Path],
    tmp_path: Path,
) -> None:
    write_rows("bad.csv", spoil(rows_of("mid")))
    done = command("manifest", "check", "bad.csv")
    assert done.returncode == 3
    assert [words for words in ("bad.csv", *checked) if words not in done.stderr] == []
    done = train(data__mid="bad.csv")
    assert done.returncode == 3
    assert [words for words in trained if words not in done.stderr] == []
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: no header and no rows"),
        (b"object_id,image,instrument,label\n", "has a header but no rows"),
        (
            "object_id,image,instrument,label\n1,a.png,I,médusa\n".encode("latin-1"),
            "line 2: not UTF-8: byte 0xE9",
        ),
    ],
)
def test_files_that_are_no_table(
    content: bytes, words: str, command: Run, train: Run, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    for done in (command("manifest", "check", "bad.csv"), train(data__mid="bad.csv")):
        assert done.returncode == 3
        assert f"bad.csv{',' if 'line' in words else ':'} {words}" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_manifest_that_is_not_there(train: Run, tmp_path: Path) -> None:
    done = train(data__target="nowhere.csv")
    assert done.returncode == 3
    assert "nowhere.csv: no such file" in done.stderr
    assert str(tmp_path) in done.stderr, "what a relative path counts from"


def test_crlf_and_bom_change_nothing(
    command: Run, train: Run, drawn_lab: Path, tmp_path: Path, finished_run: Path
) -> None:
    from safetensors.numpy import load_file

    text = (drawn_lab / "mid.csv").read_text(encoding="utf-8")
    text = text.replace("archive/mid", str(drawn_lab / "archive/mid"))
    (tmp_path / "windows.csv").write_bytes(
        b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode("utf-8")
    )
    assert command("manifest", "check", "windows.csv").returncode == 0
    done = train(data__mid="windows.csv")
    assert done.returncode == 0, done.stderr
    learnt = load_file(tmp_path / "run" / "bundle" / "model.safetensors")
    for name, weights in load_file(finished_run / "bundle" / "model.safetensors").items():
        assert (learnt[name] == weights).all(), name


def test_the_target_is_another_instrument(
    train: Run,
    rows_of: Callable[[str], Rows],
    write_rows: Callable[[str, Rows], Path],
    tmp_path: Path,
) -> None:
    write_rows("same.csv", [{**row, "instrument": "SHADOW"} for row in rows_of("target")])
    done = train(data__target="same.csv")
    assert done.returncode == 3
    assert "same.csv, column instrument: the target's instrument 'SHADOW' is mid's" in done.stderr
    assert "--instrument" in done.stderr
    assert not (tmp_path / "run").exists()
