"""Files: what is read as it stands, and what is said of a file that cannot be."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_da.errors import ManifestError
from plankton_da.manifests.ingest.tables import read_loose_table
from plankton_da.manifests.reading import read_names, read_table
from plankton_da.manifests.table import read_manifest

HEADER = "object_id,image,instrument,label\n"
GOOD = HEADER + "007,a.png,IFCB,NA\n2,b.png,IFCB,None\n3,c.png,IFCB,nan\n"


def manifest_of(folder: Path, content: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def places(path: Path) -> list[tuple[str, int | None]]:
    return [(problem.code, problem.line) for problem in read_table(path).problems]


def test_values_are_the_strings_in_the_file(tmp_path: Path) -> None:
    table = read_manifest(manifest_of(tmp_path, GOOD)).table
    assert table["object_id"].tolist() == ["007", "2", "3"]
    assert table["label"].tolist() == ["NA", "None", "nan"]


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(),
        GOOD.rstrip("\n").encode(),
        GOOD.replace("\n", "\n\n").encode(),
        GOOD.replace("\n", "\r").encode(),
    ],
    ids=["crlf", "bom", "bom_and_crlf", "no_last_newline", "blank_lines", "cr_alone"],
)
def test_other_dialects_read_the_same(tmp_path: Path, content: bytes) -> None:
    plain = read_manifest(manifest_of(tmp_path, GOOD))
    other = read_manifest(manifest_of(tmp_path, content, "other.csv"))
    pd.testing.assert_frame_equal(other.table, plain.table)
    assert other.fingerprint == plain.fingerprint


def test_short_and_long_rows_are_named_by_their_lines(tmp_path: Path) -> None:
    rows = '1,"a\nb.png",I,x\n\n2,c.png\n3,d.png,I,y\n4,e.png,I,z,more\n'
    path = manifest_of(tmp_path, HEADER + rows)
    assert places(path) == [("short_row", 5), ("long_row", 7)]
    raw = read_table(path)
    assert raw.table["object_id"].tolist() == ["1", "3"]
    assert [raw.lines.of(row) for row in (0, 1)] == [2, 6]


def test_every_line_that_is_not_utf8_is_named_with_its_byte(tmp_path: Path) -> None:
    content = HEADER.encode() + b"1,a.png,I,caf\xe9\n2,b.png,I,x\n3,\xff.png,I,y\n"
    path = manifest_of(tmp_path, content)
    assert places(path) == [("not_utf8", 2), ("not_utf8", 4)]
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert f"0xE9 at position {content.index(0xE9)}" in str(caught.value)
    assert "iconv" in str(caught.value)


def test_not_utf8_in_the_header(tmp_path: Path) -> None:
    assert places(manifest_of(tmp_path, b"object_id,im\xe9ge,instrument\n")) == [("not_utf8", 1)]


def test_utf16_is_recognised(tmp_path: Path) -> None:
    problem = next(iter(read_table(manifest_of(tmp_path, GOOD.encode("utf-16"))).problems))
    assert "UTF-16" in problem.message


@pytest.mark.parametrize("content", ["", "\ufeff", "\n", HEADER, HEADER.rstrip("\n")])
def test_empty(tmp_path: Path, content: str) -> None:
    with pytest.raises(ManifestError, match=r"empty|no rows"):
        read_manifest(manifest_of(tmp_path, content))


def test_an_unclosed_quote_does_not_hide_rows_silently(tmp_path: Path) -> None:
    rows = '1,a.png,I,x\n2,b.png,I,"y\n3,c.png,I,z\n4,d.png,I,z\n'
    assert ("unclosed_quote", 3) in places(manifest_of(tmp_path, HEADER + rows))


def test_a_quote_inside_an_unquoted_value_is_a_letter(tmp_path: Path) -> None:
    table = read_manifest(manifest_of(tmp_path, HEADER + '1,5" net.png,I,x\n2,b.png,I,y\n')).table
    assert table["image"].tolist() == ['5" net.png', "b.png"]


def test_a_short_row_that_is_not_utf8_either(tmp_path: Path) -> None:
    content = HEADER.encode() + b"1,a.png,I,x\n2,caf\xe9\n"
    assert ("not_utf8", 3) in places(manifest_of(tmp_path, content))


def test_a_huge_value_hides_no_other_problem(tmp_path: Path) -> None:
    path = manifest_of(tmp_path, HEADER + f"1,a.png,I,{'x' * 200_000}\n\n2,b.png\n3,c.png,I,y\n")
    assert places(path) == [("short_row", 4)]
    assert read_table(path).lines.of(1) == 5


@pytest.mark.parametrize("content", [bytes(range(256)) * 40, b"\0" * 1000, b"\xff" * 1000])
def test_a_binary_file_named_csv(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ManifestError):
        read_manifest(manifest_of(tmp_path, content))


def test_doubled_columns(tmp_path: Path) -> None:
    path = manifest_of(tmp_path, "object_id,image,image,instrument\n1,a,b,c\n")
    assert places(path) == [("doubled_column", 1)]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_another_separator_is_said(tmp_path: Path, separator: str) -> None:
    path = manifest_of(tmp_path, GOOD.replace(",", separator))
    with pytest.raises(ManifestError, match=r"semicolons|tabs"):
        read_manifest(path)


def test_no_file_no_table_and_not_parquet(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path / "absent.csv")
    with pytest.raises(ManifestError, match=r"\.csv or \.parquet"):
        read_manifest(manifest_of(tmp_path, GOOD, "m.xlsx"))
    with pytest.raises(ManifestError, match="Parquet"):
        read_manifest(manifest_of(tmp_path, GOOD, "m.parquet"))
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(manifest_of(tmp_path, GOOD) / "inside_a_file.csv")


def test_parquet_of_other_types_becomes_strings(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    frame = pd.DataFrame(
        {
            "object_id": [7, 8],
            "image": ["a.png", "b.png"],
            "instrument": pd.Categorical(["I", "I"]),
            "label": ["NA", None],
            "depth": [1.5, None],
        }
    )
    frame.to_parquet(path)
    table = read_manifest(path).table
    assert table.to_numpy().tolist() == [
        ["7", "a.png", "I", "NA", "1.5"],
        ["8", "b.png", "I", "", ""],
    ]


def test_a_parquet_file_whose_columns_names_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pd.DataFrame({"object_id": ["1"], "image": ["a"], "instrument": ["I"]}).to_parquet(path)
    path.write_bytes(path.read_bytes().replace(b"instrument", b"instr\x8dment"))
    with pytest.raises(ManifestError, match=r"m\.parquet: is not a whole Parquet file"):
        read_manifest(path)
    assert [problem.code for problem in read_names(path).problems] == ["unreadable"]
    with pytest.raises(ManifestError, match="is not a whole Parquet file"):
        read_loose_table(path)


def test_parquet_column_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    row = {"object_id": "1", "image": "a", "instrument": "I", "tags": [["x"]]}
    pd.DataFrame(row).to_parquet(path)
    with pytest.raises(ManifestError, match=r"column tags: holds list"):
        read_manifest(path)


values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(values, values), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_lines_are_where_the_rows_begin(
    tmp_path: Path, rows: list[tuple[str, str]], end: str
) -> None:
    path = tmp_path / "m.csv"
    begins = []
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator=end, quoting=csv.QUOTE_ALL)
        for row in [("a", "b"), *rows]:
            begins.append(len(re.findall("\r\n|\r|\n", path.read_bytes().decode())) + 1)
            writer.writerow(row)
            stream.flush()
    raw = read_table(path)
    assert not raw.problems
    assert raw.table.to_numpy().tolist() == [list(row) for row in rows]
    assert [raw.lines.of(row) for row in range(len(rows))] == begins[1:]
