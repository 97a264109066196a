"""Values of a manifest: every problem with its line, column and way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from plankton_da.errors import ManifestError
from plankton_da.manifests.problems import KEPT_PER_CODE, SHOWN_PER_CODE
from plankton_da.manifests.reading import read_table
from plankton_da.manifests.rules import value_problems
from plankton_da.manifests.table import read_manifest


def problems_of(folder: Path, text: str) -> list[tuple[str, int | None, str | None]]:
    path = folder / "m.csv"
    path.write_text(text)
    return [(p.code, p.line, p.column) for p in value_problems(path, read_table(path))]


def test_all_missing_columns_are_named(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "id,image,label\n1,a,x\n")
    assert found == [("missing_column", 1, "object_id"), ("missing_column", 1, "instrument")]


def test_a_misspelt_column_gets_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("object_id,image,Instrument\n1,a,x\n")
    with pytest.raises(ManifestError, match="did you mean Instrument"):
        read_manifest(path)


def test_every_repeated_id_is_named_with_its_first_line(tmp_path: Path) -> None:
    text = "object_id,image,instrument\n1,a,I\n2,b,I\n1,c,I\n2,d,I\n1,e,I\n"
    found = problems_of(tmp_path, text)
    assert found == [("duplicate_object_id", line, "object_id") for line in (4, 5, 6)]
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "m.csv")
    assert "line 5, column object_id: '2' stands in line 3" in str(caught.value)


def test_empty_values_of_required_columns(tmp_path: Path) -> None:
    text = "object_id,image,instrument,label\n,a,I,x\n2,,I,\n,b,I,x\n4,d,,x\n"
    assert problems_of(tmp_path, text) == [
        ("empty_value", 2, "object_id"),
        ("empty_value", 4, "object_id"),
        ("empty_value", 3, "image"),
        ("empty_value", 5, "instrument"),
    ]


def test_unknown_splits_do_not_hide_each_other(tmp_path: Path) -> None:
    rows = [f"{i},a{i},I,private" for i in range(KEPT_PER_CODE + 5)]
    text = "\n".join(["object_id,image,instrument,split", *rows, "x,b,I,Train", "y,c,I,", ""])
    found = problems_of(tmp_path, text)
    assert ("unknown_split", KEPT_PER_CODE + 7, "split") in found
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "m.csv")
    assert "found 'Train'; did you mean train" in str(caught.value)
    shown = SHOWN_PER_CODE + 1
    assert f"... and {KEPT_PER_CODE + 6 - shown} more: unknown_split" in str(caught.value)


def test_each_group_that_crosses_splits_is_named_once(tmp_path: Path) -> None:
    rows = ["1,a,I,train,g1", "2,b,I,val,g1", "3,c,I,test,g1", "4,d,I,test,g2", "5,e,I,,g2"]
    rows += ["6,f,I,train,", "7,g,I,val,", "8,h,I,val,g3", "9,i,I,train,g3"]
    text = "\n".join(["object_id,image,instrument,split,group", *rows, ""])
    assert problems_of(tmp_path, text) == [
        ("group_crosses_splits", 3, "group"),
        ("group_crosses_splits", 10, "group"),
    ]
    with pytest.raises(
        ManifestError, match="group 'g1' is in split val here and in train in line 2"
    ):
        read_manifest(tmp_path / "m.csv")


def test_an_image_in_two_splits(tmp_path: Path) -> None:
    text = "object_id,image,instrument,split\n1,a,I,train\n2,a,I,test\n3,b,I,val\n4,b,I,val\n"
    assert problems_of(tmp_path, text) == [("image_crosses_splits", 3, "image")]


@pytest.mark.parametrize(
    ("size", "fine"),
    [("10.6", True), ("", True), ("1e-1", True), ("73", True)]
    + [(size, False) for size in ("0", "0.0", "0e5", "-1", "10,6", "10.6 um", "nan", "inf")],
)
def test_pixel_sizes_are_positive_numbers(tmp_path: Path, size: str, fine: bool) -> None:
    text = f'object_id,image,instrument,pixel_size_um\n1,a,I,"{size}"\n'
    expected = [] if fine else [("not_a_pixel_size", 2, "pixel_size_um")]
    assert problems_of(tmp_path, text) == expected


def test_all_kinds_of_problems_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("object_id,image,instrument,split\n1,a,I,train\n1,b,I,tset\n,c,I\n3,,I,val\n")
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}, line ") for line in lines)
    assert [line.split(": ")[0].split(", ", 1)[1] for line in lines] == [
        "line 4",
        "line 5, column image",
        "line 3, column object_id",
        "line 3, column split",
    ]
