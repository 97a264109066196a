"""Tables of image paths, as labs have them."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_da.errors import ManifestError, PlanktonDAError, UsageError
from plankton_da.images.refs import open_image
from plankton_da.manifests.ingest import IngestOptions, IngestResult, build_manifest
from plankton_da.manifests.ingest.csv_table import build
from plankton_da.manifests.ingest.tables import read_loose_table
from plankton_da.manifests.table import read_manifest

Draw = Callable[[str], Path]


def built(*inputs: Path, labelled: bool = True, **columns: str) -> IngestResult:
    out = inputs[0].parent / "m.csv"
    return build(inputs, "CAM", out, IngestOptions(labelled=labelled, columns=columns))


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


TEXT = "path,class,depth\na.png,NA,007\nb c.png,copépode,1.50\n"
SPELLINGS = {
    "comma.csv": TEXT.encode(),
    "bom_crlf.csv": TEXT.replace("\n", "\r\n").encode("utf-8-sig"),
    "cr_only.csv": TEXT.replace("\n", "\r").encode(),
    "semicolon.csv": TEXT.replace(",", ";").encode(),
    "tabs.tsv": TEXT.replace(",", "\t").encode(),
    "tabs.txt": TEXT.replace(",", "\t").encode(),
    "latin.csv": TEXT.encode("latin-1"),
    "excel.txt": TEXT.replace(",", "\t").encode("utf-16"),
    "quoted.csv": TEXT.replace("copépode", '"copépode"').encode(),
    "separator_at_the_end.csv": TEXT.replace("\n", ",\n", 3).replace("depth,", "depth").encode(),
}


@pytest.mark.parametrize("name", [*SPELLINGS, "table.parquet"])
def test_a_table_is_read_however_it_is_spelled(tmp_path: Path, draw: Draw, name: str) -> None:
    draw("a.png")
    draw("b c.png")
    path = tmp_path / name
    if name in SPELLINGS:
        path.write_bytes(SPELLINGS[name])
    else:
        read_loose_table(write(tmp_path / "x.csv", TEXT)).table.to_parquet(path)
    result = built(path, image="path", label="class")
    assert result.failed == []
    assert result.table.to_dict("list") == {
        "object_id": ["a.png", "b c.png"],
        "image": ["a.png", "b c.png"],
        "instrument": ["CAM", "CAM"],
        "label": ["NA", "copépode"],
        "depth": ["007", "1.50"],
    }
    assert bool(result.remarks) == (name == "latin.csv")


def test_columns_of_the_manifests_names_need_no_option(tmp_path: Path, draw: Draw) -> None:
    draw("in/a.png")
    path = write(tmp_path / "t.csv", "label,object_id,image,split,group\nx,7,in/a.png,val,bin\n")
    assert built(path).table.to_dict("records") == [
        {
            "object_id": "7",
            "image": "in/a.png",
            "instrument": "CAM",
            "label": "x",
            "split": "val",
            "group": "bin",
        }
    ]
    assert "label" not in built(path, labelled=False).table.columns


def test_a_named_column_wins_and_the_other_is_carried(tmp_path: Path, draw: Draw) -> None:
    draw("a.png")
    path = write(tmp_path / "t.csv", "path,label,class\na.png,raw,fine\n")
    table = built(path, image="path", label="class", object_id="path").table
    assert table.to_dict("records") == [
        {
            "object_id": "a.png",
            "image": "a.png",
            "instrument": "CAM",
            "label": "fine",
            "table_label": "raw",
        }
    ]


def test_instruments_are_the_options_unless_a_column_is_named(tmp_path: Path, draw: Draw) -> None:
    draw("a.png")
    draw("b.png")
    path = write(tmp_path / "t.csv", "image,instrument\na.png,IFCB\nb.png,\n")
    result = built(path)
    assert result.table["instrument"].tolist() == ["CAM", "CAM"]
    assert "its column instrument says IFCB; all rows get CAM" in result.remarks[0]
    result = built(path, instrument="instrument")
    assert result.table["instrument"].tolist() == ["IFCB", "CAM"]
    assert result.remarks[0].endswith("rows that name no instrument get CAM")


def test_images_may_lie_in_a_folder_of_their_own(tmp_path: Path, draw: Draw) -> None:
    draw("pictures/a.png")
    path = write(tmp_path / "t.csv", "image\na.png\n")
    assert built(path, tmp_path / "pictures").table["image"].tolist() == ["pictures/a.png"]
    with pytest.raises(ManifestError, match=r"t\.csv:2: /.*/a\.png: no such image"):
        built(path)
    with pytest.raises(UsageError, match=r"found 0 table\(s\) and 1 folder"):
        built(tmp_path / "pictures")


def test_paths_may_be_of_any_kind(tmp_path: Path, draw: Draw) -> None:
    absolute = draw("elsewhere/x.png")
    for name in ("in/a.png", "50%.png", "#1,2,3,4!.png", "in/new\nline.png", "odd\\name.png"):
        draw(name)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(absolute, "m.png")
    values = ["in\\a.png", "50%.png", "#1,2,3,4!.png", '"in/new\nline.png"', "odd\\name.png"]
    values += [str(absolute), "z.zip!m.png", "in/a.png#0,0,2,2", "50%25.png#1,1,3,2"]
    text = "image\n" + "".join(f'"{v}"\n' if "," in v else f"{v}\n" for v in values)
    out = tmp_path / "deep" / "m.csv"
    result = build_manifest("csv", [write(tmp_path / "t.csv", text)], "CAM", out)
    assert result.failed == []
    manifest = read_manifest(out)
    sizes = [open_image(ref, manifest.root).size for ref in manifest.table["image"]]
    assert sizes == [(4, 3)] * 7 + [(2, 2), (3, 2)]


def test_bad_rows_are_named_by_line_and_the_rest_is_read(tmp_path: Path, draw: Draw) -> None:
    draw("a.png")
    draw("b.png")
    rows = ["a.png,1", "", "gone.png,2", ",3", "a.png,", "a.png,1", "a.png", "b.png,4,5", "b.png,6"]
    path = write(tmp_path / "t.csv", "image,object_id\n" + "\n".join(rows))
    other = write(tmp_path / "u.csv", 'image,object_id,note\na.png,6,"x\ny"\nb.png,9,z\n')
    result = built(path, other)
    assert result.table["object_id"].tolist() == ["1", "6", "9"]
    assert result.table["note"].tolist() == ["", "", "z"]
    assert dict(result.failed) == {
        f"{path}:4: {tmp_path}/gone.png": "no such image",
        f"{path}:5": "the row names no image",
        f"{path}:6": "the row's object_id is empty",
        f"{path}:7": f"its object_id stands in {path}:2 already",
        f"{path}:8": "a line does not have 2 values, as the header has",
        f"{path}:9": "a line does not have 2 values, as the header has",
        f"{other}:2": f"its object_id stands in {path}:10 already",
    }


@pytest.mark.parametrize(
    ("column", "value", "size", "remark"),
    [
        ("pixel_size_um", "10.6", "10.6", ""),
        ("pixel_mm", "0.0106", "10.6", ""),
        ("size (µm)", "0.0106", "10.6", "taken as mm: 10.6 µm"),
        ("process_pixel", "0.118", "118", "taken as mm: 118 µm"),
        ("process_pixel", "0.2", "", "may be µm or mm"),
        ("process_pixel", "big", "", "'big' is no number"),
    ],
)
def test_pixel_sizes_become_micrometres(
    tmp_path: Path, draw: Draw, column: str, value: str, size: str, remark: str
) -> None:
    draw("a.png")
    path = write(tmp_path / "t.csv", f"image,{column}\na.png,{value}\n")
    result = built(path, pixel_size_um=column)
    assert result.table["pixel_size_um"].tolist() == [size]
    assert [remark in each for each in result.remarks] == ([True] if remark else [])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.csv", b"", "is empty"),
        ("twice.csv", b"image,a,a\n1,2,3\n", "several columns are called 'a'"),
        ("none.csv", b"image,label\n", "no row with an image"),
        ("open_quote.csv", b'image\n"' + b"x" * 3_000_000, "field larger than field limit"),
        ("no_line.csv", b"image\n" + b"x" * 20_000_000, "more than 16,777,216 characters"),
        ("binary.parquet", b"PAR1", "is not a whole Parquet file"),
        ("half.txt", b"\xff\xfea\x00b", "is not the utf-16 that it begins with"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=words):
        built(path)


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "img,class\na.png,x\n")
    with pytest.raises(UsageError, match=r"--column image=NAME.*the table has img, class"):
        built(path)
    with pytest.raises(UsageError, match=r"--column names 'klass'.*did you mean class"):
        built(path, image="img", label="klass")


@given(st.binary(max_size=400), st.sampled_from(["t.csv", "t.tsv", "t.parquet"]))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_a_table_or_our_error(tmp_path: Path, data: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    try:
        loose = read_loose_table(path)
    except PlanktonDAError:
        return
    assert len(loose.lines()) == len(loose.table)


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0"))] * 2),
        min_size=1,
        max_size=5,
    )
)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_values_are_rows_or_failures(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "t.csv"
    (tmp_path / "a.png").touch()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("image", "label"), *rows, ("a.png", "x")])
    result = built(path)
    assert len(result.table) + len(result.failed) == len(rows) + 1
    assert "a.png" in result.table["object_id"].tolist()
