"""IFCB bins as manifests."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.errors import DataError, ManifestError
from plankton_da.images.ifcb import NO_SAMPLES, parse_header, read_bin
from plankton_da.images.refs import open_image
from plankton_da.manifests.checks import check_manifest
from plankton_da.manifests.ingest import IngestOptions, IngestResult, build_manifest
from plankton_da.manifests.ingest.ifcb import COLUMNS, build
from plankton_da.manifests.ingest.ifcb_volume import analysed_ml, sample_time
from plankton_da.manifests.table import read_manifest

OLD, NEW = "IFCB3_2008_013_013423", "D20160714T023910_IFCB101"
PLAIN = IngestOptions()


def built(*inputs: Path, out: Path) -> IngestResult:
    return build(inputs, "IFCB", out, PLAIN)


def test_a_row_per_image(tmp_path: Path) -> None:
    first, second = draw_pictures(2, seed=0)
    write_bin(tmp_path / "in" / "D2016", NEW, [None, first, second], seconds=60)
    table = built(tmp_path / "in", out=tmp_path / "m.csv").table
    assert [*table.columns] == [name for name in COLUMNS if name != "label"]
    assert table.iloc[0].to_dict() == {
        "object_id": f"{NEW}_00002",
        "image": f"in/D2016/{NEW}.roi#2",
        "instrument": "IFCB",
        "group": NEW,
        "pixel_size_um": "0.29412",
        "time": "2016-07-14T02:39:10Z",
        "volume_ml": "0.748875",  # 0.25 ml a minute, for 180.03 s less 0.3 s of blindness
        "trigger": "2",
        "roi_number": "2",
        "x_px": "820",
        "y_px": "943",
        "width_px": str(first.shape[1]),
        "height_px": str(first.shape[0]),
    }
    assert table["object_id"].tolist()[1:] == [f"{NEW}_00003"]


def test_both_versions_side_by_side_and_in_order(tmp_path: Path) -> None:
    pictures = draw_pictures(3, seed=1)
    later = "D20160714T033910_IFCB101"
    for pid in (later, OLD, NEW):
        write_bin(tmp_path / "in", pid, pictures)
    out = tmp_path / "elsewhere" / "m.parquet"
    result = build_manifest("ifcb", [tmp_path / "in"], "IFCB", out)
    assert (result.skipped, result.failed, result.hidden) == ([], [], 0)
    manifest = read_manifest(out)
    assert manifest.table["group"].unique().tolist() == [NEW, later, OLD]
    for ref, picture in zip(manifest.table["image"], pictures * 3, strict=True):
        assert np.array_equal(np.asarray(open_image(ref, manifest.root)), picture)
    assert check_manifest(out, open_images=True).ok


def test_an_input_may_be_any_file_of_a_bin(tmp_path: Path) -> None:
    roi = write_bin(tmp_path, NEW, draw_pictures(2, seed=2))
    write_bin(tmp_path, OLD, draw_pictures(2, seed=3))
    files = [roi.with_suffix(suffix) for suffix in (".adc", ".roi", ".hdr")]
    table = built(*files, out=tmp_path / "m.csv").table
    assert table["object_id"].tolist() == [f"{NEW}_00001", f"{NEW}_00002"]


def test_a_bin_that_is_there_twice_is_read_once(tmp_path: Path) -> None:
    write_bin(tmp_path / "in" / "b", NEW, draw_pictures(1, seed=4))
    shutil.copytree(tmp_path / "in" / "b", tmp_path / "in" / "c")
    shutil.copytree(tmp_path / "in" / "b", tmp_path / "in" / "a")
    (tmp_path / "in" / "a" / f"{NEW}.roi").unlink()  # an unfinished copy
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table["image"].tolist() == [f"in/b/{NEW}.roi#1"]
    ((place, why),) = result.failed
    assert place == str(tmp_path / "in" / "a" / f"{NEW}.adc")
    assert why == f"no file {NEW}.roi, which held 1 image(s)"
    ((place, why),) = result.skipped
    assert place == str(tmp_path / "in" / "c" / f"{NEW}.roi")
    assert why == f"the same bin was read from {tmp_path / 'in' / 'b'}"


@pytest.mark.parametrize("folder", [*sorted(NO_SAMPLES), "Beads"])
def test_folders_without_samples_are_passed_over(folder: str, tmp_path: Path) -> None:
    write_bin(tmp_path / "in", OLD, draw_pictures(1, seed=5))
    write_bin(tmp_path / "in" / folder / "deep", NEW, draw_pictures(1, seed=6))
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table["group"].tolist() == [OLD]
    ((_, why),) = result.skipped
    assert why == f"no sample: in a folder called {folder}"
    named = built(tmp_path / "in" / folder, out=tmp_path / "m.csv")  # it was asked for
    assert named.table["group"].tolist() == [NEW]


def test_damaged_rows_are_named_with_their_line_and_the_rest_is_read(tmp_path: Path) -> None:
    roi = write_bin(tmp_path / "in", NEW, [None, *draw_pictures(4, seed=7)])
    table = roi.with_suffix(".adc")
    lines = table.read_text().splitlines()
    lines[2] = "3,0.1,garbled"
    lines[3] = ""  # no row; what follows keeps its numbers from the rows
    table.write_text("\n".join(lines))
    roi.write_bytes(roi.read_bytes()[:-1])
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table["roi_number"].tolist() == ["2"]
    assert [place for place, _ in result.failed] == [f"{table}:3", f"{table}:5"]
    assert "lacks or is no whole number" in result.failed[0][1]
    assert "ends at byte" in result.failed[1][1]


@pytest.mark.parametrize(
    ("rows", "more"), [(50, "(and 48 rows like it)"), (3, "(and 1 row like it)")]
)
def test_rows_with_the_same_fault_share_a_line(tmp_path: Path, rows: int, more: str) -> None:
    roi = write_bin(tmp_path / "in", NEW, draw_pictures(rows, seed=8))
    first = int(read_bin(roi).rois.start[1])
    roi.write_bytes(roi.read_bytes()[:first])
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    ((place, why),) = result.failed
    assert place.endswith(".adc:2")
    assert why.endswith(more)
    assert len(result.table) == 1


def test_what_is_no_bin_is_named(tmp_path: Path) -> None:
    write_bin(tmp_path / "in", NEW, draw_pictures(1, seed=9))
    for name in ("mine.roi", "features.csv", "D20160714_IFCB1.adc"):
        (tmp_path / "in" / name).touch()
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    reasons = {Path(path).name: why for path, why in result.skipped}
    assert reasons.pop("features.csv") == "no file of a bin"
    assert reasons.keys() == {"mine.roi", "D20160714_IFCB1.adc"}
    assert all(why.startswith("its name is no bin's") for why in reasons.values())


def test_impossible_inputs(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="neither a folder nor a file of a bin"):
        built(tmp_path / "a.png", out=tmp_path / "m.csv")
    with pytest.raises(DataError, match="no such file or folder"):
        built(tmp_path / "absent", out=tmp_path / "m.csv")
    write_bin(tmp_path / "empty", NEW, [None])
    with pytest.raises(ManifestError, match=r"1 bin\(s\) were read and hold none"):
        built(tmp_path / "empty", out=tmp_path / "m.csv")


def test_real_bins_as_far_as_they_can_be_read(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats" / "ifcb"
    out = tmp_path / "m.csv"
    result = build_manifest("ifcb", [folder], "IFCB", out)
    counts = result.table.groupby("group").size().to_dict()
    assert counts == {
        "D20130526T095207_IFCB013": 19,
        "D20220522T000439_IFCB134": 7,
        "D20220522T003051_IFCB134": 2,
        "IFCB5_2012_028_081515": 6,
    }
    failed = {str(Path(place).relative_to(folder)): why for place, why in result.failed}
    assert failed == {
        "invalid/D20130101T101010_IFCB099.roi": (
            "the .hdr and the .adc have 0 bytes: no bin was written"
        ),
        "partial/D20230810T113059_IFCB134.adc": (
            "no file D20230810T113059_IFCB134.roi, which held 33 image(s)"
        ),
        "partial/IFCB5_2012_028_081515.adc": (
            "no file IFCB5_2012_028_081515.roi, which held 6 image(s)"
        ),
    }
    halves = result.table.set_index("object_id").loc[
        ["IFCB5_2012_028_081515_00003", "IFCB5_2012_028_081515_00004"]
    ]
    assert halves["trigger"].tolist() == ["3", "3"]
    assert halves["roi_number"].tolist() == ["3", "4"]
    assert check_manifest(out, open_images=True).totals.keys() <= {"one_class"}


def test_volumes_of_real_bins(shared_data: Path) -> None:
    folder = shared_data / "formats" / "ifcb"
    old = analysed_ml(
        "IFCB5_2012_028_081515", read_bin(folder / "v1" / "IFCB5_2012_028_081515.roi")
    )
    assert old == pytest.approx(0.003391470833333334)  # as pyifcb's own tests have it
    # the header says 5.0808 ml, but the last row 4.8851
    new = analysed_ml("D20130526T095207_IFCB013", read_bin(folder / "v2/D20130526T095207_IFCB013"))
    assert new == pytest.approx((1184.037103 - 11.620326) / 240)
    same = analysed_ml(
        "D20220522T000439_IFCB134", read_bin(folder / "v2_class" / "D20220522T000439_IFCB134.roi")
    )
    assert same == pytest.approx((1167.111111111111 - 0.5586328125) / 240)


def test_the_header_is_believed_where_it_differs_little(tmp_path: Path) -> None:
    roi = write_bin(tmp_path, NEW, draw_pictures(3, seed=10), seconds=60)
    header = roi.with_suffix(".hdr")
    text = header.read_text()
    rows = 180.03 - 0.3
    assert f"runTime: {180.03}" in text
    for seconds, believed in ((180.03 + 11, 180.03 + 11 - 0.3), (180.03 + 13, rows), (0.1, rows)):
        header.write_text(text.replace("runTime: 180.03", f"RUNTIME: {seconds}"))
        assert analysed_ml(NEW, read_bin(roi)) == pytest.approx(believed / 240)
    header.unlink()
    assert analysed_ml(NEW, read_bin(roi)) == pytest.approx(rows / 240)


def test_a_glitch_of_the_last_row_makes_no_volume(tmp_path: Path) -> None:
    roi = write_bin(tmp_path, NEW, draw_pictures(3, seed=11), seconds=60)
    roi.with_suffix(".hdr").unlink()
    table = roi.with_suffix(".adc")
    *lines, last = table.read_text().splitlines()
    table.write_text("\n".join([*lines, last.replace("180.03", "9999.0")]))
    assert analysed_ml(NEW, read_bin(roi)) == pytest.approx((120.03 - 0.2) / 240)


def test_times_of_names() -> None:
    assert str(sample_time(NEW)) == "2016-07-14 02:39:10+00:00"
    assert str(sample_time(OLD)) == "2008-01-13 01:34:23+00:00"
    for impossible in ("D20161314T023910_IFCB101", "IFCB3_2007_366_013423", "something"):
        assert sample_time(impossible) is None


def test_a_bin_of_an_impossible_time_has_none(tmp_path: Path) -> None:
    write_bin(tmp_path / "in", "D20161314T023910_IFCB101", draw_pictures(1, seed=12))
    table = built(tmp_path / "in", out=tmp_path / "m.csv").table
    assert table["time"].tolist() == [""]


@settings(max_examples=60, deadline=3000)
@given(
    pid=st.sampled_from([OLD, NEW]),
    suffix=st.sampled_from([".hdr", ".adc", ".roi"]),
    at=st.integers(0, 700),
    length=st.integers(0, 200),
    new=st.binary(max_size=60),
)
def test_damage_costs_rows_but_never_the_build(
    pid: str,
    suffix: str,
    at: int,
    length: int,
    new: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    sound = write_bin(folder / "in", "D20170101T000000_IFCB102", draw_pictures(1, seed=13))
    roi = write_bin(folder / "in", pid, [None, *draw_pictures(3, seed=14)])
    file = roi.with_suffix(suffix)
    raw = file.read_bytes()
    file.write_bytes(raw[:at] + new + raw[at + length :])
    result = built(folder / "in", out=folder / "m.csv")
    assert f"{sound.stem}_00001" in set(result.table["object_id"])
    assert result.table["object_id"].is_unique
    for ref in result.table["image"]:
        assert open_image(ref, folder).mode == "L"


def test_header_keys_in_any_case() -> None:
    assert parse_header(b"RunTime: 1:2\r\nnothing\nruntime: 3\n") == {"runtime": "1:2"}
