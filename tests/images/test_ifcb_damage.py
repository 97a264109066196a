"""Damaged bins: a bad row costs its image alone, and nothing raises anything else."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plankton_da.demo.bins import Picture, draw_pictures, write_bin
from plankton_da.errors import ImageError
from plankton_da.images import adc
from plankton_da.images.adc import parse_adc
from plankton_da.images.ifcb import RowState, parse_header, read_bin
from plankton_da.images.refs import open_image

OLD, NEW = "IFCB3_2008_013_013423", "D20160714T023910_IFCB101"


def pixels_of(ref: str, root: Path) -> Picture:
    return np.asarray(open_image(ref, root))


def garbled_row(roi: Path) -> None:
    table = roi.with_suffix(".adc")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], "2,garbled", *lines[2:]]))


def nul_bytes(roi: Path) -> None:
    table = roi.with_suffix(".adc")
    lines = table.read_bytes().split(b"\n")
    table.write_bytes(b"\n".join([lines[0], b"\0" * len(lines[1]), *lines[2:]]))


def negative_size(roi: Path) -> None:
    _change(roi, {15: "-60"})


def negative_start(roi: Path) -> None:
    _change(roi, {17: "-1"})


def decimal_width(roi: Path) -> None:
    _change(roi, {15: "60.5"})


def gigantic(roi: Path) -> None:
    _change(roi, {15: "100000", 16: "100000"})


def overflowing(roi: Path) -> None:
    _change(roi, {15: "9" * 18, 16: "9" * 18})


def beyond_the_end(roi: Path) -> None:
    _change(roi, {17: "999999999"})


def _change(roi: Path, values: dict[int, str]) -> None:
    table = roi.with_suffix(".adc")
    lines = table.read_text().splitlines()
    fields = lines[1].split(",")
    for column, value in values.items():
        fields[column] = value
    table.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]))


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (garbled_row, "unreadable"),
        (nul_bytes, "unreadable"),
        (negative_size, "unreadable"),
        (negative_start, "unreadable"),
        (decimal_width, "unreadable"),
        (gigantic, "too_large"),
        (overflowing, "too_large"),
        (beyond_the_end, "truncated"),
    ],
    ids=lambda each: each.__name__ if callable(each) else each,
)
def test_a_damaged_row_costs_its_image_alone(
    damage: Callable[[Path], None], code: str, tmp_path: Path
) -> None:
    pictures = draw_pictures(3, seed=2)
    roi = write_bin(tmp_path, NEW, pictures)
    damage(roi)
    for number in (1, 3):
        assert np.array_equal(pixels_of(f"{roi.name}#{number}", tmp_path), pictures[number - 1])
    with pytest.raises(ImageError, match=f"^{code}: line 2 of the .adc"):
        open_image(f"{roi.name}#2", tmp_path)


def test_a_truncated_roi_keeps_the_images_before_its_end(tmp_path: Path) -> None:
    pictures = draw_pictures(3, seed=3)
    roi = write_bin(tmp_path, NEW, pictures)
    cut = pictures[0].size + 10
    roi.write_bytes(roi.read_bytes()[:cut])
    assert np.array_equal(pixels_of(f"{roi.name}#1", tmp_path), pictures[0])
    for number in (2, 3):
        with pytest.raises(ImageError, match=rf"truncated: line {number} .* of {cut:,} bytes"):
            open_image(f"{roi.name}#{number}", tmp_path)


def test_too_much_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    roi = write_bin(tmp_path, NEW, draw_pictures(1, seed=10))
    table = roi.with_suffix(".adc")
    with table.open("wb") as file:
        file.truncate(2**40)  # a hole, not a terabyte
    began = time.monotonic()
    with pytest.raises(ImageError, match=r"too_large: .* at most"):
        read_bin(roi)
    assert time.monotonic() - began < 1
    with pytest.raises(ImageError, match=r"too_large: .* lines; at most"):
        parse_adc(b"1\n" * (adc.MAX_ROWS + 1))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    roi = write_bin(tmp_path, NEW, draw_pictures(1, seed=11))
    roi.with_suffix(".adc").unlink()
    os.mkfifo(roi.with_suffix(".adc"))
    with pytest.raises(ImageError, match="is no regular file"):
        open_image(f"{roi.name}#1", tmp_path)


LETTERS = st.sampled_from([b"0", b"1", b"9", b"-", b".", b",", b" ", b"\t", b"\n", b"\r", b"e"])
ROUGH = st.one_of(
    st.binary(max_size=400), st.lists(LETTERS, max_size=400).map(lambda parts: b"".join(parts))
)


@settings(max_examples=300, deadline=1000)
@given(ROUGH, st.integers(0, 40))
def test_numbers_are_those_of_a_plain_reader(raw: bytes, column: int) -> None:
    table = parse_adc(raw)
    values, valid = table.integers(column)
    decimals = table.decimals(column)
    lines = re.split(rb"\r\n|\r|\n", raw)
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip(b" \t\r\n")]
    assert table.lines.tolist() == [number for number, _ in rows]
    for row, (_, line) in enumerate(rows):
        fields = line.split(b",")
        field = fields[column].strip(b" \t\r\n") if column < len(fields) else b""
        if len(field) <= 18:
            assert valid[row] == bool(re.fullmatch(rb"-?[0-9]{1,18}", field))
            if valid[row]:
                assert values[row] == int(field)
        if re.fullmatch(rb"-?[0-9]{1,9}(\.[0-9]{0,9})?", field):
            assert decimals[row] == float(field)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    for pid in (OLD, NEW):
        write_bin(folder, pid, [None, *draw_pictures(3, seed=12)])
    return folder


@settings(max_examples=200, deadline=2000)
@given(
    pid=st.sampled_from([OLD, NEW]),
    suffix=st.sampled_from([".hdr", ".adc", ".roi"]),
    at=st.integers(0, 600),
    length=st.integers(0, 100),
    new=ROUGH,
)
def test_no_damage_raises_anything_but_image_errors(
    pid: str, suffix: str, at: int, length: int, new: bytes, sound: Path
) -> None:
    folder = Path(tempfile.mkdtemp(dir=sound.parent)) / "damaged"
    shutil.copytree(sound, folder)
    file = folder / f"{pid}{suffix}"
    raw = file.read_bytes()
    file.write_bytes(raw[:at] + new + raw[at + length :])
    try:
        found = read_bin(file)
    except ImageError:
        return
    assert len(found.trigger) == len(found.rois)
    for number in range(1, len(found.rois) + 2):
        try:
            pixels = pixels_of(f"{pid}.roi#{number}", folder)
        except ImageError:
            continue
        assert found.rois.state[number - 1] == RowState.IMAGE
        assert pixels.size == found.rois.width[number - 1] * found.rois.height[number - 1]


@given(st.binary(max_size=300))
def test_any_header_is_read(raw: bytes) -> None:
    assert all(key == key.lower() for key in parse_header(raw))
