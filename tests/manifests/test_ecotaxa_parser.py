"""EcoTaxa's tables as text: quotation marks, line ends, encodings, and any other bytes."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from plankton_da.errors import PlanktonDAError
from plankton_da.manifests.ingest import IngestOptions, ecotaxa_reading, ecotaxa_rows
from plankton_da.manifests.ingest.ecotaxa import build
from plankton_da.manifests.ingest.ecotaxa_places import Places, TableFile
from plankton_da.manifests.ingest.ecotaxa_reading import TableContent, read_content
from plankton_da.manifests.ingest.ecotaxa_rows import Row, encoding_of, rows_of, text_of

QUICK = settings(
    max_examples=150,
    deadline=2000,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def rows(data: bytes) -> list[Row]:
    with text_of(io.BytesIO(data), encoding_of(io.BytesIO(data))) as text:
        return list(rows_of(text))


def content(data: bytes) -> TableContent:
    class NoImages:
        def ref(self, name: str) -> str | None:
            return None

    return read_content(TableFile("t.tsv", lambda: io.BytesIO(data), NoImages()))


def values(data: bytes) -> list[list[str]]:
    table = content(data).table
    return [list(each.values()) for each in table.to_pylist()]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b"\r\n\r\n"])
def test_any_line_end(line_end: bytes) -> None:
    found = rows(line_end.join([b"a\tb", b"1\t2", b" \t ", b"3\t4"]))
    assert [row.cells for row in found] == [["a", "b"], ["1", "2"], ["3", "4"]]
    step = 2 if len(line_end) == 4 else 1
    assert [row.line for row in found] == [1, 1 + step, 1 + 3 * step]


def test_a_quoted_cell_may_hold_tabs_line_breaks_and_marks() -> None:
    data = b'a\tb\n"x\ty"\t"say ""hi""\nthere"\n1\t2\n'
    found = rows(data)
    assert [row.cells for row in found] == [["a", "b"], ["x\ty", 'say "hi"\nthere'], ["1", "2"]]
    assert [row.line for row in found] == [1, 2, 4]


def test_a_mark_inside_a_cell_stands_for_itself() -> None:
    found = rows(b'a\tb\n5" net\t2\n"x" y\t3\n7\t8\n')
    assert [row.cells[0] for row in found] == ["a", '5" net', "x y", "7"]


def test_a_mark_that_is_not_closed_costs_one_row() -> None:
    data = b'a\tb\n"1\t2\n' + b"3\t4\n" * 300
    found = rows(data)
    assert found[1] == Row(2, None, problem="a quotation mark is not closed")
    assert len(found) == 302
    assert {tuple(row.cells) for row in found[2:]} == {("3", "4")}
    assert [row.line for row in found] == list(range(1, 303))


def test_a_line_without_end_costs_one_row_and_no_memory() -> None:
    data = b"a\tb\n" + b"x" * (3 * ecotaxa_rows.MAX_LINE) + b"\n1\t2\n"
    found = rows(data)
    assert [bool(row.problem) for row in found] == [False, True, False]
    assert found[2].line == 3


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"abc", "utf-8-sig"),
        ("µ".encode(), "utf-8-sig"),
        ("µ".encode("latin-1"), "latin-1"),
        ("µ".encode("utf-8-sig") + b"\xb5", "latin-1"),
        ("µ".encode("utf-16"), "utf-16"),
        (b"a" * (1 << 20) + b"\xb5", "latin-1"),  # beyond the first piece that is read
        (b"a" * ((1 << 20) - 1) + "µ".encode(), "utf-8-sig"),  # a letter across two pieces
    ],
)
def test_encodings(data: bytes, expected: str) -> None:
    assert encoding_of(io.BytesIO(data)) == expected


def test_a_bom_before_latin1_is_no_letter() -> None:
    found = rows(b"\xef\xbb\xbfa\tb\n\xb5\t2\n")
    assert [row.cells for row in found] == [["a", "b"], ["µ", "2"]]


@pytest.mark.parametrize("types", ["", "[t]\t[f]\n", "[t]\t[n]\n", "[H]\t\n", '"[t]" \t"[f]"\n'])
def test_kinds_of_second_rows(types: str) -> None:
    data = f"object_id\timg_file_name\n{types}x\ty\n".encode()
    assert values(data) == [["x", "y"]]


def test_an_id_in_brackets_is_no_type_row() -> None:
    assert values(b"object_id\timg_file_name\n[t]\ta.png\n") == [["[t]", "a.png"]]
    assert values(b"object_id\timg_file_name\n[t]\t[t]\n[t]\t[f]\n") == [["[t]", "[f]"]]


def test_doubled_and_nameless_columns() -> None:
    data = b"object_id\timg_file_name\tobject_id\t\nx\ty\tz\tw\n"
    found = content(data)
    assert found.table.to_pylist() == [{"object_id": "x", "img_file_name": "y"}]
    assert any("the first is read" in remark for remark in found.remarks)


def test_a_small_file_cannot_become_a_large_table() -> None:
    header = "\t".join(["object_id", "img_file_name", *(f"object_{n}" for n in range(1500))])
    found = content((header + "\n" + "x\n" * 50_000).encode())
    assert len(found.table) == 0
    assert len(found.failed) == 50_000
    with pytest.raises(PlanktonDAError, match=r"2,001 columns; at most 2,000"):
        content("\t".join(f"c{n}" for n in range(ecotaxa_reading.MAX_COLUMNS + 1)).encode())


def test_a_table_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    big = tmp_path / "ecotaxa_big.tsv"
    with big.open("wb") as stream:
        stream.truncate(3 * 2**30)  # no byte of it is on the disk
    (table,) = Places(tmp_path).tables(big)
    with pytest.raises(PlanktonDAError, match="divide it"):
        read_content(table)


CELL = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\r\ufeff"), max_size=12
)


@QUICK
@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=8), st.booleans())
def test_what_a_csv_writer_writes_is_read_back(cells: Sequence[Sequence[str]], all: bool) -> None:
    stream = io.StringIO()
    quoting = csv.QUOTE_ALL if all else csv.QUOTE_MINIMAL
    writer = csv.writer(stream, delimiter="\t", quoting=quoting, lineterminator="\n")
    writer.writerow(["object_id", "img_file_name", "object_x"])
    writer.writerow(["[t]"] * 3)
    writer.writerows(cells)
    written = [list(row) for row in cells if any(cell.strip() for cell in row)]
    data = stream.getvalue().encode("utf-8-sig")
    if written:
        assert values(data) == written


TEXTS = st.text(st.sampled_from('\t\n\r"ab[]\0é€\u2028'), max_size=80)
HEADS = st.sampled_from(["", "object_id\timg_file_name\n", "object_id\timg_file_name\n[t]\t[f]\n"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])


def check_bytes(head: str, text: str, encoding: str, tail: bytes) -> None:
    try:
        found = content((head + text).encode(encoding, "replace") + tail)
    except PlanktonDAError:
        return
    assert len(found.table) == len(found.lines)
    assert all(place.startswith("t.tsv:") for place, _ in found.failed)


ANY_BYTES = given(HEADS, TEXTS, ENCODINGS, st.binary(max_size=20))


@QUICK
@ANY_BYTES
@example("", "", "utf-8", b"\xff\xfe\x00")
def test_any_bytes_are_a_table_or_a_clear_refusal(
    head: str, text: str, encoding: str, tail: bytes
) -> None:
    check_bytes(head, text, encoding, tail)


@pytest.mark.slow
@settings(QUICK, max_examples=50_000)
@ANY_BYTES
def test_any_bytes_for_minutes(head: str, text: str, encoding: str, tail: bytes) -> None:
    check_bytes(head, text, encoding, tail)


@settings(QUICK, max_examples=60)
@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=6), HEADS, st.booleans(), st.booleans())
def test_any_names_and_values_build_or_are_refused(
    tmp_path: Path, cells: list[tuple[str, str, str]], head: str, zipped: bool, present: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    Image.new("L", (4, 4)).save(folder / "a.png")
    named = [(own, "a.png" if present else name, value) for own, name, value in cells]
    body = "\n".join("\t".join(row) for row in named)
    table = f"object_id\timg_file_name\tprocess_pixel\n{head}{body}".encode()
    if zipped:
        path = tmp_path / "in.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ecotaxa_x.tsv", table)
            archive.write(folder / "a.png", "a.png")
    else:
        path = folder / "ecotaxa_x.tsv"
        path.write_bytes(table)
    try:
        result = build([path], "CAM", tmp_path / "m.csv", IngestOptions(all_labels=True))
    except PlanktonDAError:
        return
    assert result.table["object_id"].is_unique
    assert (result.table["image"] != "").all()
    assert (result.table["object_id"] != "").all()


@settings(QUICK, max_examples=60)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_a_damaged_archive_is_refused_or_read_in_part(tmp_path: Path, at: int, data: bytes) -> None:
    path = tmp_path / "in.zip"
    image = io.BytesIO()
    Image.new("L", (4, 4)).save(image, "png")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ecotaxa_x.tsv", "object_id\timg_file_name\nx\ta.png\ny\ta.png\n")
        archive.writestr("a.png", image.getvalue())
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] + data + whole[at + len(data) :])
    try:
        result = build([path], "CAM", tmp_path / "m.csv", IngestOptions())
    except PlanktonDAError:
        return
    assert len(result.table) <= 2
