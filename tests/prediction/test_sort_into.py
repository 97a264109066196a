"""Copies for people who look at folders: in their folder, and never over anything."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from plankton_da.errors import OutputError
from plankton_da.prediction.sort_into import safe_name, sort_into

Draw = Callable[[Path, int], Path]


def predictions(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["object_id", "image", "label", "error"])


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_one_folder_per_label(tmp_path: Path, draw: Draw) -> None:
    for n, name in enumerate(["1.png", "b/1.png", "2.png"]):
        draw(tmp_path / "in" / name, n)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "in" / "2.png", "m.png")
    table = predictions(
        ("1.png", "in/1.png", "copepod", ""),
        ("b/1.png", "in/b/1.png", "copepod", ""),
        ("2.png", "in/2.png", "unclassified", ""),
        ("m.png", "a.zip!m.png", "copepod", ""),
        ("3.png", "in/3.png", "", "missing: gone"),
    )
    assert sort_into(table, tmp_path, tmp_path / "out") == 4
    assert files(tmp_path / "out") == [
        "copepod/1.png",
        "copepod/b__1.png",
        "copepod/m.png",
        "unclassified/2.png",
    ]
    copied = (tmp_path / "out" / "copepod" / "b__1.png").read_bytes()
    assert copied == (tmp_path / "in" / "b" / "1.png").read_bytes()
    assert sort_into(table, tmp_path, tmp_path / "out") == 0, "the same content is kept"
    assert len(files(tmp_path / "out")) == 4


def test_nothing_is_overwritten(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.png", 1)
    theirs = tmp_path / "out" / "copepod" / "1.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody else's")
    table = predictions(("1.png", "1.png", "copepod", ""))
    assert sort_into(table, tmp_path, tmp_path / "out") == 1
    assert theirs.read_text() == "somebody else's"
    (own,) = [name for name in files(tmp_path / "out") if name != "copepod/1.png"]
    assert (tmp_path / "out" / own).read_bytes() == (tmp_path / "1.png").read_bytes()
    assert sort_into(table, tmp_path, tmp_path / "out") == 0


def test_names_do_not_lead_out(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.png", 1)
    table = predictions(
        ("../../x.png", "1.png", "../..", ""),
        ("/etc/y.png", "1.png", "/etc", ""),
        ("..", "1.png", ".", ""),
    )
    assert sort_into(table, tmp_path, tmp_path / "a" / "b" / "out") == 3
    assert len(files(tmp_path / "a" / "b" / "out")) == 3
    assert len(files(tmp_path)) == 4


@given(st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable()))
def test_a_safe_name_is_one_name(name: str) -> None:
    safe = safe_name(name)
    assert "/" not in safe
    assert "\\" not in safe
    assert safe.strip(". ") != ""
    assert len(safe.encode()) <= 200


@given(st.sets(st.text("ab./%: ~\n", max_size=6), min_size=2, max_size=2))
def test_safe_names_tell_apart(names: set[str]) -> None:
    assert len({safe_name(name) for name in names}) == 2


def test_a_folder_that_cannot_be_written(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.png", 1)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        sort_into(predictions(("1.png", "1.png", "x", "")), tmp_path, tmp_path / "out")


def test_a_part_of_a_collage_is_copied_as_png(tmp_path: Path) -> None:
    pixels = np.arange(24 * 30, dtype=np.uint8).reshape(24, 30)
    Image.fromarray(pixels).save(tmp_path / "run.tif")
    table = predictions(
        ("run/1", "run.tif#0,0,5,6", "copepod", ""), ("run/2.png", "run.tif#5,0,7,8", "copepod", "")
    )
    assert sort_into(table, tmp_path, tmp_path / "sorted") == 2
    assert sort_into(table, tmp_path, tmp_path / "sorted") == 0
    with Image.open(tmp_path / "sorted" / "copepod" / "run__1.png") as copy:
        assert np.array_equal(np.asarray(copy), pixels[:6, :5])
    with Image.open(tmp_path / "sorted" / "copepod" / "run__2.png") as copy:
        assert np.array_equal(np.asarray(copy), pixels[:8, 5:12])
