"""Real bins: what is known of them, and what real instruments do."""

from __future__ import annotations

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from plankton_da.demo.bins import Picture
from plankton_da.errors import ImageError
from plankton_da.images.ifcb import RowState, read_bin
from plankton_da.images.refs import open_image

OLD, NEW = "IFCB3_2008_013_013423", "D20160714T023910_IFCB101"


def pixels_of(ref: str, root: Path) -> Picture:
    return np.asarray(open_image(ref, root))


def sha256(pixels: Picture) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


@pytest.fixture
def index(shared_data: Path) -> dict[str, str]:
    """Path below ``formats`` -> what is true of the file."""
    with (shared_data / "formats" / "INDEX.csv").open(encoding="utf-8") as file:
        rows = {row["path"]: row["what_is_true"] for row in csv.DictReader(file)}
    return {path: true for path, true in rows.items() if path.startswith("ifcb/")}


def test_real_bins_hold_what_is_known_of_them(shared_data: Path, index: dict[str, str]) -> None:
    known = {path: true for path, true in index.items() if "roi_numbers=" in true}
    assert len(known) == 4
    for path, true in known.items():
        file = (shared_data / "formats" / path).with_suffix(".roi")
        found = read_bin(file)
        images = np.flatnonzero(found.rois.state == RowState.IMAGE)
        facts = dict(re.findall(r"(adc_rows|rois|roi_bytes)=(\d+)", true))
        assert facts == {
            "adc_rows": str(len(found.rois)),
            "rois": str(len(images)),
            "roi_bytes": str(found.rois.roi_bytes),
        }
        numbers = re.search(r"roi_numbers=([\d ]+)", true)
        assert numbers is not None
        assert (images + 1).tolist() == [int(number) for number in numbers[1].split()]
        assert set(found.rois.state) <= {RowState.IMAGE, RowState.NO_IMAGE}
        hashes = re.findall(
            r"roi (\d+) width x height=(\d+)x(\d+) start=(\d+) pixels_sha256=(\w+)", true
        )
        assert len(hashes) == 2
        for number, width, height, start, digest in hashes:
            pixels = pixels_of(f"{file.name}#{number}", file.parent)
            assert pixels.shape == (int(height), int(width))
            assert found.rois.start[int(number) - 1] == int(start)
            assert sha256(pixels) == digest


def test_real_quirks(shared_data: Path) -> None:
    folder = shared_data / "formats" / "ifcb"
    old = read_bin(folder / "v1" / "IFCB5_2012_028_081515.adc")
    assert old.version == 1
    assert old.rois.start[0] == 1
    assert old.trigger.tolist() == [1, 2, 3, 3, 4, 5, 6]  # rows 3 and 4: one trigger, two images
    assert (old.x[6], old.y[6], old.rois.width[6]) == (-11, -11, 0)
    new = read_bin(folder / "v2" / "D20130526T095207_IFCB013.hdr")
    assert new.version == 2
    no_image = new.rois.state == RowState.NO_IMAGE
    assert new.rois.start[no_image].max() == 98472  # the end of the file
    assert new.header["runtime"] == "1231.024861"


def test_pngs_of_other_tools_are_not_the_pixels_of_the_roi(
    shared_data: Path, index: dict[str, str]
) -> None:
    pngs = {path: true for path, true in index.items() if path.endswith(".png")}
    assert len(pngs) == 3
    for path, true in pngs.items():
        file = shared_data / "formats" / path
        exported = pixels_of(file.name, file.parent)
        assert f"pixels_sha256={sha256(exported)}" in true
        pid, _, number = file.stem.rpartition("_")
        raw = pixels_of(f"{pid}.roi#{number}", file.parent).astype(float)
        stretched = (raw - raw.min()) * 255 / (raw.max() - raw.min())
        assert not np.array_equal(raw, exported)
        assert np.abs(stretched - exported).max() <= 1


def test_real_bins_that_lack_something(shared_data: Path) -> None:
    folder = shared_data / "formats" / "ifcb"
    for pid in ("D20150411T205456_IFCB012", "IFCB5_2017_001_033645"):
        assert len(read_bin(folder / "empty" / f"{pid}.roi").rois) == 0
    lacking = {"D20230810T113059_IFCB134": 33, "IFCB5_2012_028_081515": 6}
    for pid, images in lacking.items():
        with pytest.raises(ImageError, match=rf"missing: no file {pid}\.roi, .* {images} image"):
            read_bin(folder / "partial" / f"{pid}.adc")
        with pytest.raises(ImageError, match=rf"missing: no file {pid}\.roi"):
            open_image(f"{pid}.roi#2", folder / "partial")
    with pytest.raises(ImageError, match=r"empty_file: the .hdr and the .adc have 0 bytes"):
        read_bin(folder / "invalid" / "D20130101T101010_IFCB099.roi")


def test_the_files_are_those_that_the_facts_are_about(
    shared_data: Path, index: dict[str, str]
) -> None:
    for path, true in index.items():
        digest = hashlib.sha256((shared_data / "formats" / path).read_bytes()).hexdigest()
        assert f"file_sha256={digest}" in true, path


def test_counts_in_a_real_header(shared_data: Path) -> None:
    folder = shared_data / "formats" / "ifcb" / "v2_class"
    found = read_bin(folder / "D20220522T000439_IFCB134.hdr")
    assert (found.header["triggercount"], found.header["roicount"]) == ("8", "7")
    assert found.trigger.max() == 8
    assert np.count_nonzero(found.rois.state == RowState.IMAGE) == 7


def test_a_real_old_header_has_no_keys(shared_data: Path) -> None:
    file = shared_data / "formats" / "ifcb" / "v1" / "IFCB5_2012_028_081515.hdr"
    assert not read_bin(file).header.keys() & {"adcfileformat", "runtime"}
