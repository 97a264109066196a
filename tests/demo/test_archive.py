from __future__ import annotations

import csv
import hashlib
import itertools
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plankton_da.demo.archive import TARGET_PROPORTIONS, DemoArchive, write_archive
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.demo.drawing import TAXA
from plankton_da.errors import OutputError


def _write(folder: Path, seed: int, mid: int = 2, pool: int = 20, test: int = 10) -> DemoArchive:
    return write_archive(
        folder, seed=seed, mid_per_class=mid, target_images=pool, target_test_images=test
    )


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    _write(tmp_path / "a", 3)
    _write(tmp_path / "b", 3)
    _write(tmp_path / "c", 4)
    first = _digests(tmp_path / "a")
    assert first == _digests(tmp_path / "b")
    other = _digests(tmp_path / "c")
    assert not {d for name, d in first.items() if name != "truth.csv"} & set(other.values())


def test_no_picture_is_drawn_twice(tmp_path: Path) -> None:
    digests = _digests(_write(tmp_path / "a", 0).folder)
    assert len(set(digests.values())) == len(digests) == 2 * len(TAXA) + 20 + 10 + 1


def test_a_longer_mid_archive_begins_with_the_same_target_images(tmp_path: Path) -> None:
    short = _write(tmp_path / "a", 3)
    long = _write(tmp_path / "b", 3, mid=3)
    assert _digests(short.target_pool) == _digests(long.target_pool)
    assert _digests(short.target_test) == _digests(long.target_test)


def test_truth_names_every_image_and_folders_agree_with_it(tmp_path: Path) -> None:
    archive = _write(tmp_path / "a", 0)
    with archive.truth.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    files = {str(p.relative_to(archive.folder)) for p in archive.folder.rglob("*.png")}
    assert {row["image"] for row in rows} == files
    for row in rows:
        parts = row["image"].split("/")
        assert row["instrument"] == (MID_INSTRUMENT if parts[0] == "mid" else TARGET_INSTRUMENT)
        assert row["split"] == ("test" if parts[1] == "test" else "train")
        if parts[1] != "unlabelled":
            assert parts[-2] == row["label"]
    assert sorted({p.name for p in archive.mid.iterdir()}) == sorted(TAXA)
    assert all(p.is_file() for p in archive.target_pool.iterdir())


def test_class_proportions_are_exact(tmp_path: Path) -> None:
    archive = _write(tmp_path / "a", 1, pool=100, test=0)
    with archive.truth.open(encoding="utf-8", newline="") as file:
        counts = Counter(row["label"] for row in csv.DictReader(file) if "target" in row["image"])
    assert counts == {taxon: round(100 * share) for taxon, share in TARGET_PROPORTIONS.items()}


def test_pool_is_in_no_order_of_classes(tmp_path: Path) -> None:
    archive = _write(tmp_path / "a", 1, pool=40)
    with archive.truth.open(encoding="utf-8", newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file) if "unlabelled" in row["image"]]
    changes = sum(a != b for a, b in itertools.pairwise(labels))
    assert changes > 2 * len(TAXA)


def test_mid_is_gray_dark_on_white_and_target_is_colour_bright_on_black(tmp_path: Path) -> None:
    archive = _write(tmp_path / "a", 0)
    for path in archive.mid.rglob("*.png"):
        with Image.open(path) as image:
            assert image.mode == "L"
            pixels = np.asarray(image)
        assert np.median(pixels[[0, -1]]) > 200 > 128 > pixels.min()
    for path in archive.target_test.rglob("*.png"):
        with Image.open(path) as image:
            assert image.mode == "RGB"
            pixels = np.asarray(image)
        assert np.median(pixels[[0, -1]]) < 60 < 128 < pixels.max()
        assert np.ptp(pixels.astype(int), axis=2).max() > 10  # not gray


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not an empty folder; remove it or name another"):
        _write(tmp_path / "a", 0)
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "mine.txt"]


def test_an_empty_folder_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert _write(tmp_path / "a", 0).truth.is_file()


def test_folder_under_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        _write(tmp_path / "file" / "a", 0)


@pytest.mark.parametrize(
    "proportions", [{"whale": 1.0}, {}, {"copepod": -1.0, "medusa": 2.0}, {"copepod": np.inf}]
)
def test_impossible_proportions(tmp_path: Path, proportions: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="proportions"):
        write_archive(tmp_path / "a", seed=0, proportions=proportions)
    assert not list(tmp_path.iterdir())


def test_drawing_is_fast(tmp_path: Path) -> None:
    start = time.process_time()
    _write(tmp_path / "a", 0, mid=10, pool=60, test=0)
    assert time.process_time() - start < 120 * 0.02  # seconds; about 5 ms an image when measured
