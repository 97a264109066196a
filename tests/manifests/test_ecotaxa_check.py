"""The rules of EcoTaxa's importer: good bundles pass, each fault is found and named."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from plankton_da.errors import DataError, PlanktonDAError
from plankton_da.manifests.ecotaxa_check import BundleReport, check_bundle, raise_if_not_ok

Rows = Sequence[Sequence[str]]

HEADER = ["object_id", "img_file_name", "object_area", "object_note", "sample_id", "acq_id"]
TYPES = ["[t]", "[t]", "[f]", "[t]", "[t]", "[t]"]
GOOD = ["a", "a.png", "1.5", "ok", "s1", "c1"]


def picture(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), 90).save(buffer, format=kind)
    return buffer.getvalue()


def tsv(rows: Rows, end: str = "\n") -> bytes:
    return end.join("\t".join(row) for row in rows).encode() + end.encode()


def bundle(folder: Path, rows: Rows, name: str = "ecotaxa_x.tsv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.png").write_bytes(picture())
    (folder / name).write_bytes(tsv(rows))
    return folder


def codes(report: BundleReport) -> dict[str, int]:
    return dict(report.problems.totals)


def with_column(name: str, value: str, kind: str = "[t]") -> Rows:
    return [[*HEADER, name], [*TYPES, kind], [*GOOD, value]]


def with_columns(**values: str) -> Rows:
    return [[*HEADER, *values], [*TYPES, *["[t]"] * len(values)], [*GOOD, *values.values()]]


@pytest.mark.parametrize(
    "rows",
    [
        [HEADER, TYPES, GOOD],
        [["object_id", "img_file_name"], ["[t]", "[t]"], ["a", "a.png"]],
        [[" Object_ID ", "IMG_file_name"], ["[t]", "[t]"], ["a", "a.png"]],
        [HEADER, TYPES, GOOD[:3]],
        with_column("object_lat", "-90.0", "[f]"),
        with_column("object_time", "420"),
        with_column("object_time", "08:28:00.000"),
        with_column("object_date", "2015-07-11"),
        with_column("object_depth_min", "NaN"),
        with_column("img_rank", ""),
        with_columns(object_annotation_category="egg<other", object_annotation_status="Predicted"),
        with_columns(object_annotation_category_id="45072", object_annotation_status="dubious"),
    ],
)
def test_a_good_table_passes(tmp_path: Path, rows: Rows) -> None:
    report = check_bundle(bundle(tmp_path, rows))
    assert (codes(report), report.rows, report.ok) == ({}, 1, True)


FAULTS: dict[str, tuple[Rows, str]] = {
    "no_rows": ([HEADER, TYPES], "empty"),
    "no_types": ([HEADER], "empty"),
    "types_left_out": ([HEADER, GOOD], "no_type_row"),
    "no_object_id": ([["img_file_name"], ["[t]"], ["a.png"]], "missing_column"),
    "no_image_column": ([["object_id"], ["[t]"], ["a"]], "missing_column"),
    "no_prefix": (with_column("area", "1"), "column_name"),
    "other_prefix": (with_column("foo_area", "1"), "column_prefix"),
    "free_image_column": (with_column("img_area", "1"), "column_prefix"),
    "unknown_type": (with_column("object_x", "1", "[n]"), "column_type"),
    "no_type": (with_column("object_x", "1", ""), "column_type"),
    "twice_the_column": (with_column("Object_Area ", "1", "[f]"), "doubled_column"),
    "no_process_id": (with_column("process_pixel", "1"), "missing_id"),
    "text_columns": (with_columns(**{f"object_t{n}": "x" for n in range(20)}), "too_many_columns"),
    "acq_columns": (with_columns(**{f"acq_t{n}": "x" for n in range(31)}), "too_many_columns"),
    "long_row": ([HEADER, TYPES, [*GOOD, "more"]], "long_row"),
    "not_a_number": ([HEADER, TYPES, ["a", "a.png", "many"]], "not_a_number"),
    "latitude": (with_column("object_lat", "90.1"), "degrees"),
    "longitude": (with_column("object_lon", "E12"), "degrees"),
    "date": (with_column("object_date", "20140433"), "date"),
    "annotation_date": (with_column("object_annotation_date", "1.1.2014"), "date"),
    "time": (with_column("object_time", "9920"), "time"),
    "status": (
        with_columns(object_annotation_category="egg", object_annotation_status="predit"),
        "status",
    ),
    "category_alone": (
        with_columns(object_annotation_category="egg"),
        "category_without_status",
    ),
    "category_id_alone": (
        with_columns(object_annotation_category_id="45072"),
        "category_without_status",
    ),
    "status_alone": (
        with_columns(object_annotation_status="validated"),
        "status_without_category",
    ),
    "id_beside_an_empty_name": (
        with_columns(
            object_annotation_category="",
            object_annotation_category_id="45072",
            object_annotation_status="predicted",
        ),
        "status_without_category",
    ),
    "empty_object_id": ([HEADER, TYPES, ["", "a.png"]], "empty_value"),
    "no_image_named": ([HEADER, TYPES, ["a", ""]], "empty_value"),
    "same_row_twice": ([HEADER, TYPES, GOOD, GOOD], "duplicate_image"),
    "acquisition_of_two_samples": (
        [HEADER, TYPES, GOOD, ["b", "a.png", "", "", "s2", "c1"]],
        "acquisition_in_two_samples",
    ),
    "missing_image": ([HEADER, TYPES, ["a", "b.png"]], "missing_image"),
    "image_elsewhere": ([HEADER, TYPES, ["a", "../a.png"]], "image_outside"),
    "image_at_root": ([HEADER, TYPES, ["a", "/a.png"]], "image_outside"),
    "one_name_of_two_taxa": (
        [
            [
                "object_id",
                "img_file_name",
                "object_annotation_category",
                "object_annotation_status",
                "object_annotation_parent_category",
            ],
            ["[t]"] * 5,
            ["a", "a.png", "part", "predicted", "Annelida"],
            ["b", "a.png", "part", "predicted", "Cnidaria"],
        ],
        "ambiguous_category",
    ),
}


@pytest.mark.parametrize(("rows", "code"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_found(tmp_path: Path, rows: Rows, code: str) -> None:
    report = check_bundle(bundle(tmp_path, rows))
    assert codes(report) == {code: 1}
    assert not report.ok


def test_every_fault_of_a_table_is_told_with_its_line(tmp_path: Path) -> None:
    rows = [
        [*HEADER, "area", "object_lat"],
        [*TYPES, "[t]", "[f]"],
        [*GOOD, "", "91"],
        ["b", "gone.png", "x", "", "", "", "", "1"],
    ]
    report = check_bundle(bundle(tmp_path, rows))
    found = [(problem.line, problem.column, problem.code) for problem in report.problems]
    assert sorted(found, key=str) == [
        (1, "area", "column_name"),
        (3, "object_lat", "degrees"),
        (4, "img_file_name", "missing_image"),
        (4, "object_area", "not_a_number"),
    ]


def test_no_image_at_all_is_one_line_that_names_the_way_out(tmp_path: Path) -> None:
    rows = [HEADER, TYPES, *([f"o{number}", f"{number}.png"] for number in range(437))]
    report = check_bundle(bundle(tmp_path, rows))
    assert codes(report) == {"missing_image": 437}
    with pytest.raises(PlanktonDAError) as told:
        raise_if_not_ok([report])
    (line,) = str(told.value).splitlines()
    assert "line 3, column img_file_name: there is no image '0.png'" in line
    assert "437 rows name one" in line
    assert line.endswith("check with --update-only")
    assert check_bundle(tmp_path, update_only=True).ok


def test_some_lost_images_are_listed_each(tmp_path: Path) -> None:
    report = check_bundle(bundle(tmp_path, [HEADER, TYPES, GOOD, ["b", "b.png"], ["c", "c.png"]]))
    lines = report.problem_lines()
    assert len(lines) == 2
    assert "--update-only" not in "".join(lines)


def test_images_are_decoded_and_must_be_of_a_format_that_is_shown(tmp_path: Path) -> None:
    rows = [HEADER, TYPES, ["a", "cut.png"], ["b", "text.jpg"], ["c", "tiff.tif"], ["d", "g.gif"]]
    folder = bundle(tmp_path, rows)
    (folder / "cut.png").write_bytes(picture()[:50])
    (folder / "text.jpg").write_text("no picture")
    (folder / "tiff.tif").write_bytes(picture("TIFF"))
    (folder / "g.gif").write_bytes(picture("GIF"))
    assert codes(check_bundle(folder)) == {"truncated": 1, "not_an_image": 1, "image_format": 1}
    assert check_bundle(folder, open_images=False).ok


def test_an_update_needs_no_images(tmp_path: Path) -> None:
    rows = [["object_id", "object_area"], ["[t]", "[f]"], ["a", "1"]]
    path = bundle(tmp_path, rows) / "ecotaxa_x.tsv"
    assert check_bundle(path, update_only=True).ok
    assert codes(check_bundle(path)) == {"missing_column": 1}


def test_images_count_from_the_table_that_names_them(tmp_path: Path) -> None:
    bundle(tmp_path / "one", [HEADER, TYPES, GOOD])
    bundle(tmp_path / "two", [HEADER, TYPES, ["b", "a.png"], ["c", "../one/a.png"]])
    report = check_bundle(tmp_path)
    assert (report.ok, report.tables, report.rows) == (True, 2, 3)


def test_the_same_object_and_image_in_two_tables(tmp_path: Path) -> None:
    bundle(tmp_path / "one", [HEADER, TYPES, GOOD])
    bundle(tmp_path / "two", [HEADER, TYPES, GOOD])
    (problem,) = check_bundle(tmp_path).problems
    assert problem.code == "duplicate_image"
    assert f"{tmp_path}/one/ecotaxa_x.tsv, line 3" in problem.message


def test_free_columns_count_over_all_tables(tmp_path: Path) -> None:
    for part in range(3):
        names = {f"sample_{part}_{n}": "x" for n in range(12)}
        bundle(tmp_path / str(part), with_columns(**names))
        rows = tmp_path / str(part) / "ecotaxa_x.tsv"
        rows.write_bytes(rows.read_bytes().replace(b"\na\t", f"\na{part}\t".encode()))
    assert codes(check_bundle(tmp_path)) == {"too_many_columns": 1}


@pytest.mark.parametrize("name", ["Ecotaxa_x.tsv", "my_ecotaxa.tsv", "ecotaxa_x.csv", "x.txt"])
def test_a_name_that_the_importer_does_not_look_for(tmp_path: Path, name: str) -> None:
    folder = bundle(tmp_path, [HEADER, TYPES, GOOD], name)
    assert codes(check_bundle(folder)) == {"no_table": 1}
    alone = check_bundle(folder / name)
    assert (alone.ok, dict(alone.warnings.totals)) == (True, {"table_name": 1})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    folder = bundle(tmp_path, [HEADER, TYPES, GOOD])
    (folder / "ecotaxa_x.tsv").write_bytes(tsv([HEADER, TYPES, GOOD, ["b", "no.png"]], end))
    (problem,) = check_bundle(folder).problems
    assert (problem.line, problem.code) == (4, "missing_image")


def test_letters_beyond_ascii_need_a_byte_order_mark(tmp_path: Path) -> None:
    folder = bundle(tmp_path, [HEADER, TYPES, ["a", "a.png", "", "Détritus"]])
    path = folder / "ecotaxa_x.tsv"
    assert dict(check_bundle(folder).warnings.totals) == {"no_byte_order_mark": 1}
    utf8 = path.read_bytes()
    for data in (b"\xef\xbb\xbf" + utf8, utf8.decode().encode("latin-1")):
        path.write_bytes(data)
        report = check_bundle(folder)
        assert (report.ok, bool(report.warnings)) == (True, False)


def test_degrees_minutes_and_seconds_as_uvp6_writes_them(tmp_path: Path) -> None:
    folder = bundle(tmp_path, with_column("object_lat", "43°12 30"))
    path = folder / "ecotaxa_x.tsv"
    assert codes(check_bundle(folder)) == {"degrees": 1}  # UTF-8 read as latin-1 has no degree sign
    path.write_bytes(path.read_bytes().decode().encode("latin-1"))
    assert check_bundle(folder).ok


def test_a_time_that_a_spreadsheet_has_shortened(tmp_path: Path) -> None:
    (warning,) = check_bundle(bundle(tmp_path, with_column("object_time", "90239"))).warnings
    assert (warning.code, "090239" in warning.message) == ("short_time", True)


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_zips_and_the_zips_of_uvp6_in_them(tmp_path: Path) -> None:
    table = tsv([HEADER, TYPES, ["a", "sub/a.png"]])
    inner = {"p/ecotaxa_p.tsv": table, "p/sub/a.png": picture(), "p/.~lock.ecotaxa_p.tsv#": b"x"}
    data = zipped(tmp_path / "p_Images.zip", inner).read_bytes()
    outer = zipped(tmp_path / "outer.zip", {"x/p_Images.zip": data})
    for path in (tmp_path / "p_Images.zip", outer):
        report = check_bundle(path)
        assert (codes(report), report.tables, report.rows) == ({}, 1, 1)


def test_a_zip_with_a_zip_that_is_none(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"x_Images.zip": b"PK no"})
    with pytest.raises(DataError, match=r"a\.zip!x_Images\.zip: is no zip that can be read"):
        check_bundle(path)


def test_a_damaged_member(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", picture())
        archive.writestr("ecotaxa_x.tsv", tsv([HEADER, TYPES, GOOD]))
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(data)
    assert codes(check_bundle(path)) == {"unreadable": 1}


def test_a_member_whose_own_name_is_no_text(tmp_path: Path) -> None:
    files = {"a.png": picture(), "ecotaxa_x.tsv": tsv([HEADER, TYPES, GOOD])}
    path = zipped(tmp_path / "a.zip", files)
    data = bytearray(path.read_bytes())
    data[6:8] = (0x800).to_bytes(2, "little")  # of the image: its name is UTF-8
    data[30] = 0x85
    path.write_bytes(data)
    assert codes(check_bundle(path)) == {"unreadable": 1}


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        check_bundle(tmp_path / "gone.zip")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.lists(
                st.one_of(
                    st.sampled_from(["object_id", "img_file_name", "[t]", "[f]", "a.png", '"', ""]),
                    st.text(max_size=5),
                ),
                max_size=5,
            ),
            max_size=5,
        ).map(lambda rows: "\n".join("\t".join(row) for row in rows).encode("utf-8", "replace")),
    )
)
def test_no_table_breaks_the_check(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "ecotaxa.tsv").write_bytes(data)
    with_bom = tmp_path / "ecotaxa_bom.tsv"
    with_bom.write_bytes(b"\xef\xbb\xbf" + data)
    report = check_bundle(tmp_path)
    assert report.tables == 2
    assert report.rows > 0 or not report.ok


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_no_damaged_zip_breaks_the_check(tmp_path: Path, place: int, junk: bytes) -> None:
    files = {"a.png": picture(), "ecotaxa_x.tsv": tsv([HEADER, TYPES, GOOD])}
    path = zipped(tmp_path / "a.zip", files)
    data = bytearray(path.read_bytes())
    place %= len(data)
    data[place : place + len(junk)] = junk
    path.write_bytes(data)
    try:
        check_bundle(path)
    except PlanktonDAError as error:
        assert str(path) in str(error)  # noqa: PT017  # either outcome is right
