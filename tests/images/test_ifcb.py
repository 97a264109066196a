"""Bins of an Imaging FlowCytobot and refs to their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plankton_da.demo.bins import Picture, draw_pictures, write_bin
from plankton_da.errors import ImageError
from plankton_da.images.decoder import Decoder
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.images.refs import open_image
from plankton_da.images.rois import read_rois

OLD, NEW = "IFCB3_2008_013_013423", "D20160714T023910_IFCB101"


def pixels_of(ref: str, root: Path) -> Picture:
    return np.asarray(open_image(ref, root))


@pytest.mark.parametrize("pid", [OLD, NEW])
def test_every_image_is_read_back_by_its_number(pid: str, tmp_path: Path) -> None:
    drawn = draw_pictures(5, seed=0)
    pictures = [None, *drawn[:3], None, *drawn[3:], None]
    write_bin(tmp_path / "a%b", pid, pictures)
    for number, picture in enumerate(pictures, 1):
        ref = f"a%25b/{pid}.roi#{number}"
        if picture is None:
            with pytest.raises(ImageError, match=f"line {number} of the .adc is a trigger without"):
                open_image(ref, tmp_path)
        else:
            image = open_image(ref, tmp_path)
            assert image.mode == "L"
            assert np.array_equal(np.asarray(image), picture)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (f"{NEW}.roi", r"not_an_image: .* as D20160714T023910_IFCB101\.roi#2"),
        (f"{NEW}.roi#0", "missing: .* has no ROI 0; its rows are 1 to 2"),
        (f"{NEW}.roi#3", "missing: .* has no ROI 3"),
        (f"{NEW}.roi#1,2,3,4", "missing: .* has no ROI 1,2,3,4"),
        (f"{NEW}.roi#{'9' * 5000}", "missing: .* has no ROI 99999999999999999999;"),
        ("absent.roi#1", r"missing: no file absent\.roi"),
        ("lone.roi#1", r"missing: no file lone\.adc"),
        ("folder.roi#1", r"unreadable|not_an_image|missing"),
    ],
)
def test_impossible_refs(ref: str, words: str, tmp_path: Path) -> None:
    write_bin(tmp_path, NEW, draw_pictures(2, seed=1))
    (tmp_path / "lone.roi").write_bytes(b"12345")
    (tmp_path / "folder.roi").mkdir()
    with pytest.raises(ImageError, match=words):
        open_image(ref, tmp_path)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n", " \n"])
def test_any_line_end_and_empty_lines(end: str, tmp_path: Path) -> None:
    pictures = draw_pictures(3, seed=4)
    roi = write_bin(tmp_path, NEW, pictures)
    table = roi.with_suffix(".adc")
    table.write_bytes(table.read_text().replace("\n", end).encode())
    for number, picture in enumerate(pictures, 1):
        assert np.array_equal(pixels_of(f"{roi.name}#{number}", tmp_path), picture)


def test_columns_are_where_the_header_says(tmp_path: Path) -> None:
    pictures = draw_pictures(2, seed=5)
    roi = write_bin(tmp_path, NEW, pictures)
    table, header = roi.with_suffix(".adc"), roi.with_suffix(".hdr")
    table.write_text("".join(f"0,{line}\n" for line in table.read_text().splitlines()))
    header.write_text(header.read_text().replace("ADCFileFormat: ", "adcfileformat: NEW, "))
    assert np.array_equal(pixels_of(f"{roi.name}#2", tmp_path), pictures[1])


def test_a_bin_without_header_still_has_its_images(tmp_path: Path) -> None:
    for pid in (OLD, NEW):
        pictures = draw_pictures(2, seed=6)
        roi = write_bin(tmp_path, pid, pictures)
        roi.with_suffix(".hdr").unlink()
        assert np.array_equal(pixels_of(f"{roi.name}#2", tmp_path), pictures[1])


def test_names_in_capitals(tmp_path: Path) -> None:
    pictures = draw_pictures(1, seed=7)
    roi = write_bin(tmp_path, NEW, pictures)
    for suffix in (".hdr", ".adc", ".roi"):
        roi.with_suffix(suffix).rename(roi.with_suffix(suffix.upper()))
    assert np.array_equal(pixels_of(f"{NEW}.ROI#1", tmp_path), pictures[0])


def test_a_bin_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    first, second = draw_pictures(2, seed=8)
    roi = write_bin(tmp_path, NEW, [first])
    assert np.array_equal(pixels_of(f"{roi.name}#1", tmp_path), first)
    write_bin(tmp_path, NEW, [second])
    assert np.array_equal(pixels_of(f"{roi.name}#1", tmp_path), second)


def test_decoded_pixels_are_kept_for_this_table_alone(tmp_path: Path) -> None:
    roi = write_bin(tmp_path, NEW, draw_pictures(2, seed=9))
    preprocess = Preprocess(image_size=32, instruments={"IFCB": InstrumentLook()})
    decoder = Decoder([f"{NEW}.roi#1"], tmp_path, "IFCB", preprocess)
    before = decoder.key()
    table = roi.with_suffix(".adc")
    table.write_text(table.read_text() + "3,0\n")
    assert decoder.key() != before


@pytest.mark.parametrize("pid", [OLD, NEW])
def test_all_images_of_a_bin_at_once(pid: str, tmp_path: Path) -> None:
    first, second = draw_pictures(2, seed=13)
    roi = write_bin(tmp_path, pid, [None, first, None, second])
    with roi.with_suffix(".adc").open("a") as table:
        table.write("damaged\n")
    found = dict(read_rois(roi))
    assert found.keys() == {2, 4}
    assert np.array_equal(found[2], first)
    assert np.array_equal(found[4], second)
