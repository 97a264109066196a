from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plankton_da.errors import DataError, ImageError, OutputError
from plankton_da.images import parallel
from plankton_da.images.cache import PixelSource, open_pixels
from plankton_da.images.decoder import Decoder
from plankton_da.images.preprocess import InstrumentLook, Preprocess

COUNT = 70  # of the fixture refs


def _open(refs: list[str], root: Path, steps: Preprocess, **options: Any) -> PixelSource:
    return open_pixels(refs, root, "shadow", steps, **options)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("how", ["none", "threads", "processes"])
def test_every_row_has_its_own_pixels(
    how: str,
    workers: int,
    refs: list[str],
    tmp_path: Path,
    preprocess: Preprocess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "_MANY", 1 if how == "processes" else 10**9)
    folder = None if how == "none" else tmp_path / "cache"
    source = _open(refs, tmp_path, preprocess, folder=folder, workers=workers)
    assert len(source) == COUNT
    assert source.good.all()
    assert source.problems == {}
    for row in range(COUNT):
        assert source.read(row).shape == (32, 32, 1)
        assert (source.read(row) == row + 1).all()
    many = source.read_many(np.array([5, 69, 5, 0]))
    assert many.shape == (4, 32, 32, 1)
    assert many[:, 0, 0, 0].tolist() == [6, 70, 6, 1]
    many[:] = 0  # the caller's own
    source.read(5)[:] = 0
    assert source.read_many([5]).min() == 6
    assert source.read_many([]).shape == (0, 32, 32, 1)


def test_a_map_holds_what_preprocessing_gives(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    steps = Preprocess(
        image_size=24,
        color="rgb",
        instruments={"shadow": InstrumentLook(), "dark_field": InstrumentLook(invert=True)},
    )
    color = np.stack([copepod, copepod // 2, 255 - copepod], axis=2)
    roots = [tmp_path / "a", tmp_path / "b"]
    for root, pixels in zip(roots, (copepod, color), strict=True):
        root.mkdir()
        (root / "same_name.png").write_bytes(encode(pixels, "PNG"))
    instruments = ["shadow", "dark_field"]
    source = open_pixels(["same_name.png"] * 2, roots, instruments, steps, folder=tmp_path / "c")
    for row, pixels in enumerate((copepod, color)):
        expected = steps(Image.fromarray(pixels), instruments[row])
        assert np.array_equal(source.read(row), expected)


def _map(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_a_map_is_used_again(refs: list[str], tmp_path: Path, preprocess: Preprocess) -> None:
    folder = tmp_path / "cache"
    _open(refs, tmp_path, preprocess, folder=folder)
    first = _map(folder)
    assert len(first) == 1
    assert _open(refs, tmp_path, preprocess, folder=folder).good.all()
    assert _map(folder) == first


def test_a_changed_file_makes_a_new_map(
    refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    folder = tmp_path / "cache"
    _open(refs, tmp_path, preprocess, folder=folder)
    Image.new("L", (23, 30), 200).save(tmp_path / "images" / "3.png")
    assert _open(refs, tmp_path, preprocess, folder=folder).read(3).min() == 200


@pytest.mark.parametrize("change", ["size", "look", "order", "instrument"])
def test_whatever_changes_pixels_makes_another_map(
    change: str, refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    folder = tmp_path / "cache"
    first = _open(refs, tmp_path, preprocess, folder=folder)
    steps, order, instrument = preprocess, refs, "shadow"
    if change == "size":
        steps = preprocess.model_copy(update={"image_size": 16})
    elif change == "look":
        inverted = {"shadow": InstrumentLook(invert=True)}
        steps = preprocess.model_copy(update={"instruments": inverted})
    elif change == "order":
        order = refs[::-1]
    else:
        instrument = "dark_field"
    second = open_pixels(order, tmp_path, instrument, steps, folder=folder)
    assert second.path != first.path
    expected = Decoder(order, tmp_path, instrument, steps).read(0)
    assert np.array_equal(second.read(0), expected)
    assert first.read(0).max() == 1


def test_images_in_a_zip_are_mapped_and_noticed_when_changed(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes], preprocess: Preprocess
) -> None:
    for value in (10, 200):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("a.png", encode(np.full((9, 9), value, np.uint8), "PNG"))
        source = _open(["a.zip!a.png"], tmp_path, preprocess, folder=tmp_path / "cache")
        assert source.read(0).max() == value


def _spoil(root: Path, rows: range) -> None:
    for row in rows:
        (root / "images" / f"{row}.png").write_text("no picture")


@pytest.mark.parametrize("mapped", [True, False])
def test_bad_images_are_named_and_counted(
    mapped: bool, refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    folder = tmp_path / "cache" if mapped else None
    _spoil(tmp_path, range(10, 35))
    (tmp_path / "images" / "60.png").unlink()
    for _ in range(2):  # built, and found
        with pytest.raises(DataError) as caught:
            _open(refs, tmp_path, preprocess, folder=folder)
        lines = str(caught.value).splitlines()
        assert lines[0] == "26 of 70 images cannot be read:"
        assert lines[1].strip().startswith("images/10.png: not_an_image: ")
        assert lines[21].strip() == "and 6 more"
        assert "data.on_bad_image: skip" in lines[22]


@pytest.mark.parametrize("mapped", [True, False])
def test_bad_images_are_left_out(
    mapped: bool,
    refs: list[str],
    tmp_path: Path,
    preprocess: Preprocess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "cache" if mapped else None
    _spoil(tmp_path, range(10, 12))
    source = _open(refs, tmp_path, preprocess, folder=folder, on_bad_image="skip")
    assert np.flatnonzero(~source.good).tolist() == [10, 11]
    assert {row: error.code for row, error in source.problems.items()} == {
        10: "not_an_image",
        11: "not_an_image",
    }
    assert "2 of 70" in caplog.text
    with pytest.raises(ImageError, match="not_an_image"):
        source.read(10)
    with pytest.raises(ImageError, match="not_an_image"):
        source.read_many([9, 10])
    assert source.read(12).max() == 13


def test_a_mended_image_of_the_same_size_and_time_is_noticed(
    tmp_path: Path, preprocess: Preprocess, encode: Callable[..., bytes]
) -> None:
    path, folder = tmp_path / "a.png", tmp_path / "cache"
    good = encode(np.full((9, 9), 50, np.uint8), "PNG")
    path.write_bytes(bytes(len(good)))
    os.utime(path, ns=(0, 0))
    assert not _open(["a.png"], tmp_path, preprocess, folder=folder, on_bad_image="skip").good[0]
    path.write_bytes(good)
    os.utime(path, ns=(0, 0))
    assert _open(["a.png"], tmp_path, preprocess, folder=folder).read(0).max() == 50


def test_a_pickled_source_is_small_and_reads_the_same(
    refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    source = _open(refs, tmp_path, preprocess, folder=tmp_path / "cache")
    source.read(0)  # mapped here
    data = pickle.dumps(source)
    assert len(data) < COUNT * 32 * 32 / 4
    copy = pickle.loads(data)
    assert np.array_equal(copy.read_many(range(COUNT)), source.read_many(range(COUNT)))


def test_no_rows(tmp_path: Path, preprocess: Preprocess) -> None:
    source = _open([], tmp_path, preprocess, folder=tmp_path / "cache")
    assert len(source) == 0
    assert source.good.shape == (0,)


def test_an_unknown_instrument_is_found_before_any_decoding(
    tmp_path: Path, preprocess: Preprocess
) -> None:
    with pytest.raises(DataError, match="unknown instrument 'IFCB'"):
        open_pixels(["absent.png"], tmp_path, "IFCB", preprocess)


def test_a_damaged_map_is_made_anew(
    refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    path = _open(refs, tmp_path, preprocess, folder=tmp_path / "cache").path
    assert path is not None
    for keep in (0, 50, 1000, path.stat().st_size - 1):
        os.truncate(path, keep)
        assert _open(refs, tmp_path, preprocess, folder=tmp_path / "cache").read(69).max() == 70


def test_a_folder_that_cannot_be_written(
    refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    (tmp_path / "occupied").write_text("a file")
    with pytest.raises(OutputError, match=r"occupied.*data\.cache: none"):
        _open(refs, tmp_path, preprocess, folder=tmp_path / "occupied")
