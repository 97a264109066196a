"""Boxes of collages, as FlowCam keeps its particles."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from plankton_da.errors import ImageError
from plankton_da.images import collages
from plankton_da.images.decoder import Decoder
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import encode_name, file_of, open_image, ref_of

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 40, 3)).astype(np.uint8)


@pytest.fixture
def collage(tmp_path: Path) -> Path:
    path = tmp_path / "run_000001.tif"
    Image.fromarray(PIXELS).save(path)
    return path


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (0, 0, 1, 1), (39, 29, 1, 1), (5, 7, 11, 13)])
def test_a_box_is_those_pixels(collage: Path, box: tuple[int, int, int, int]) -> None:
    x, y, w, h = box
    image = open_image(f"run_000001.tif#{x},{y},{w},{h}", collage.parent)
    assert np.array_equal(np.asarray(image), PIXELS[y : y + h, x : x + w])


@pytest.mark.parametrize(
    "box", ["0,0,41,30", "0,0,40,31", "40,0,1,1", "3,3,0,5", "3,3,5,0", "999999999,0,1,1"]
)
def test_a_box_that_is_not_inside(collage: Path, box: str) -> None:
    with pytest.raises(ImageError, match="is not inside the collage's 40 x 30") as caught:
        open_image(f"run_000001.tif#{box}", collage.parent)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("box", ["1,2,3", "7", "1,2,3,4,5", "1,,2,3", "9999999999,0,1,1"])
def test_a_box_that_is_none(collage: Path, box: str) -> None:
    with pytest.raises(ImageError, match=f"x,y,w,h in pixels; found #{box}$") as caught:
        open_image(f"run_000001.tif#{box}", collage.parent)
    assert caught.value.code == "unreadable"


@given(st.text("0123456789,", min_size=1, max_size=60).map(lambda text: "1" + text))
@settings(max_examples=200)
def test_any_box_is_pixels_or_an_image_error(text: str) -> None:
    try:
        width, height = collages.cut_out(text, "one", lambda: Image.fromarray(PIXELS)).size
    except ImageError:
        return
    assert 0 < width <= 40
    assert 0 < height <= 30


def test_a_collage_may_lie_in_a_zip_and_have_a_strange_name(collage: Path) -> None:
    folder = collage.parent
    with zipfile.ZipFile(folder / "run.zip", "w") as archive:
        archive.write(collage, "a#1/b!.tif")
    image = open_image(f"run.zip!{encode_name('a#1/b!.tif')}#1,2,3,4", folder)
    assert np.array_equal(np.asarray(image), PIXELS[2:6, 1:4])
    strange = folder / "#3 50%.tif"
    os.rename(collage, strange)
    image = open_image(f"{ref_of(strange, folder)}#1,2,3,4", folder)
    assert np.array_equal(np.asarray(image), PIXELS[2:6, 1:4])


def test_a_file_whose_very_name_ends_like_a_box_is_itself(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", tmp_path / "a#1,2,3,4")
    assert file_of("a#1,2,3,4", tmp_path) == (tmp_path / "a#1,2,3,4", (), "")
    assert open_image("a#1,2,3,4", tmp_path).size == (40, 30)


def test_errors_of_the_collage_are_those_of_any_image(tmp_path: Path) -> None:
    (tmp_path / "cut.tif").write_bytes(b"II*\x00\x08\x00\x00\x00")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder").mkdir()
    codes = {}
    for name in ("absent.tif", "cut.tif", "empty.tif", "folder"):
        with pytest.raises(ImageError) as caught:
            open_image(f"{name}#0,0,1,1", tmp_path)
        codes[name] = caught.value.code
    assert codes == {
        "absent.tif": "missing",
        "cut.tif": "truncated",
        "empty.tif": "empty_file",
        "folder": "not_an_image",
    }


def test_a_collage_is_decoded_once_and_again_when_it_changed(
    collage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plankton_da.images import refs

    decoded = []
    decode = refs.decode
    monkeypatch.setattr(refs, "decode", lambda *a: decoded.append(1) or decode(*a))
    for x in range(20):
        open_image(f"run_000001.tif#{x},0,5,5", collage.parent)
    assert len(decoded) == 1
    Image.fromarray(255 - PIXELS).save(collage)
    os.utime(collage, ns=(1, 1))
    image = open_image("run_000001.tif#0,0,5,5", collage.parent)
    assert np.array_equal(np.asarray(image), 255 - PIXELS[:5, :5])


def test_kept_collages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collages, "KEPT_PIXELS", 3000)
    monkeypatch.setattr(collages, "_kept", type(collages._kept)())
    for number in range(5):
        collages.cut_out("0,0,1,1", number, lambda: Image.fromarray(PIXELS))  # 1200 pixels
    assert list(collages._kept) == [3, 4]
    collages.cut_out("0,0,1,1", 5, lambda: Image.new("L", (100, 100)))  # alone too many
    assert list(collages._kept) == [5]


def test_preprocessing_sees_the_box_alone(
    collage: Path, preprocess: Preprocess, encode: Callable[..., bytes]
) -> None:
    cut: NDArray[np.uint8] = PIXELS[4:24, 2:22]
    (collage.parent / "cut.png").write_bytes(encode(cut, "PNG"))
    decoder = Decoder(["run_000001.tif#2,4,20,20", "cut.png"], collage.parent, "shadow", preprocess)
    assert np.array_equal(decoder.read(0), decoder.read(1))
