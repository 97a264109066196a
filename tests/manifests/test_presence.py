"""Which images are there."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.presence import missing_images

Draw = Callable[[str], Path]


def missing(root: Path, *refs: str) -> list[bool]:
    return [bool(gone) for gone in missing_images(pd.Series(refs, dtype=TEXT), root)]


@pytest.mark.parametrize("listed", [False, True], ids=["asked_singly", "listed"])
def test_only_files_count(tmp_path: Path, draw: Draw, listed: bool) -> None:
    draw("a/here.png")
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / "a" / "broken.png").symlink_to("nowhere")
    (tmp_path / "a" / "linked.png").symlink_to("here.png")
    (tmp_path / "a" / "self.png").symlink_to("self.png")
    more = [f"a/absent{i}.png" for i in range(20 * listed)]
    refs = ["a/here.png", "a/folder.png", "a/broken.png", "a/linked.png", "./a//here.png", *more]
    assert missing(tmp_path, *refs) == [False, True, True, False, False] + [True] * len(more)


def test_where_the_folder_is_absent_all_are_missing(tmp_path: Path) -> None:
    assert missing(tmp_path, *[f"absent/{i}.png" for i in range(50)]) == [True] * 50


def test_refs_upwards_absolute_and_at_the_root(tmp_path: Path, draw: Draw) -> None:
    path = draw("a/b.png")
    refs = ["../a/b.png", str(path), "b.png", "c.png"]
    assert missing(tmp_path / "a", *refs) == [False, False, False, True]


def test_encoded_names(tmp_path: Path, draw: Draw) -> None:
    draw("a/50%.png")
    draw("a/#1!.png")
    refs = ["a/50%25.png", "a/%231%21.png", "a/#1!.png", "a/%230.png"]
    assert missing(tmp_path, *refs) == [False, False, False, True]


def test_names_that_are_no_text_do_not_disturb(tmp_path: Path, draw: Draw) -> None:
    draw("a/b.png")
    try:
        os.rename(tmp_path / "a" / "b.png", os.fsencode(tmp_path / "a") + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    draw("a/c.png")
    refs = ["a/c.png", "a/%FF.png", *["a/d.png"] * 20]
    assert missing(tmp_path, *refs)[:2] == [False, False]


def test_members_of_archives(tmp_path: Path, draw: Draw) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(draw("a.png"), "in/a.png")
    (tmp_path / "no.zip").write_text("no zip")
    refs = ["z.zip!in/a.png", "z.zip!in/b.png", "no.zip!a.png", "absent.zip!a.png"]
    assert missing(tmp_path, *refs) == [False, True, True, True]


def test_impossible_names_are_missing(tmp_path: Path) -> None:
    assert missing(tmp_path, "", "a\0b.png", "x" * 5000, "%00.png") == [True] * 4


def test_big_folders_are_right_row_by_row(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    names = [f"a/{i}.png" for i in range(500)]
    for name in names[::3]:
        (tmp_path / name).touch()
    expected = np.arange(500) % 3 != 0
    assert missing(tmp_path, *names) == expected.tolist()


@pytest.mark.parametrize("listed", [False, True], ids=["asked_singly", "listed"])
def test_parts_are_there_if_their_file_is(tmp_path: Path, draw: Draw, listed: bool) -> None:
    draw("a/run.tif")
    draw("a/other.png")
    more = [f"a/run.tif#{i},0,1,1" for i in range(20 * listed)]
    refs = ["a/run.tif#0,0,1,1", "a/absent.tif#0,0,1,1", "a/run.tif#x", *more]
    assert missing(tmp_path, *refs) == [False, True, True] + [False] * len(more)


@pytest.mark.parametrize("listed", [False, True], ids=["asked_singly", "listed"])
def test_members_of_tars_and_of_archives_in_archives(
    tmp_path: Path, draw: Draw, listed: bool
) -> None:
    picture = draw("a.png")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(picture, "in/a.png")
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
        inner.write(picture, "in/a.png")
        inner.write(picture, "50%.png")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
        archive.write(picture, "in/a.png")
    good = ["t.tar!in/a.png", "z.zip!in/a.png", "z.zip!inner.zip!in/a.png"]
    good += ["z.zip!inner.zip!50%25.png", "z.zip!in/a.png#0,0,1,1"]
    bad = ["t.tar!a.png", "z.zip!a.png", "z.zip!inner.zip!a.png", "z.zip!no.zip!in/a.png"]
    more = [f"{name}!absent{i}.png" for name in ("t.tar", "z.zip", "no.zip") for i in range(20)]
    refs = [*good, *bad, *more * listed]
    assert missing(tmp_path, *refs) == [False] * len(good) + [True] * (len(refs) - len(good))


def test_rows_of_a_folder_need_not_stand_together(tmp_path: Path, draw: Draw) -> None:
    for i in range(30):
        draw(f"{i % 3}/{i}.png")
    refs = [f"{i % 3}/{i}.png" for i in range(90)]
    assert missing(tmp_path, *refs) == [i >= 30 for i in range(90)]
