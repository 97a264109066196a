"""``check_manifest`` and ``check_pair``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from plankton_da.errors import ManifestError
from plankton_da.manifests.checks import check_manifest, check_manifests, check_pair
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.problems import KEPT_PER_CODE
from plankton_da.manifests.table import Manifest

Draw = Callable[[str], Path]
HEADER = "object_id,image,instrument,label,split\n"


def a_manifest(folder: Path, rows: Sequence[str], name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text(HEADER + "".join(f"{i},{row}\n" for i, row in enumerate(rows)))
    return path


def test_a_good_manifest(tmp_path: Path, draw: Draw) -> None:
    for name in ("a.png", "b.png", "c.png"):
        draw(name)
    path = a_manifest(tmp_path, ["a.png,I,x,train", "b.png,I,y,train", "c.png,I,x,val"])
    report = check_manifest(path, open_images=True)
    assert report.ok
    assert report.rows == 3
    assert report.counts.to_dict("records") == [
        {"instrument": "I", "split": "train", "label": "x", "n": 1},
        {"instrument": "I", "split": "train", "label": "y", "n": 1},
        {"instrument": "I", "split": "val", "label": "x", "n": 1},
    ]
    json.dumps(report.as_json())


def test_missing_images_are_named_and_counted(tmp_path: Path, draw: Draw) -> None:
    draw("a.png")
    rows = ["a.png,I,x,", *[f"gone{i}.png,I,y," for i in range(KEPT_PER_CODE + 200)]]
    report = check_manifest(a_manifest(tmp_path, rows))
    assert report.totals == {"missing": KEPT_PER_CODE + 200}
    assert report.problems[0].line == 3
    assert "gone0.png" in report.problems[0].message
    assert str(tmp_path) in report.problems[0].message
    with pytest.raises(ManifestError, match=f"and {KEPT_PER_CODE + 180} more: missing"):
        check_manifests([a_manifest(tmp_path, rows)]).raise_if_not_ok()


def test_images_that_do_not_decode_are_named_only_when_opened(tmp_path: Path, draw: Draw) -> None:
    draw("good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("I am a plankton")
    (tmp_path / "truncated.png").write_bytes(draw("whole.png").read_bytes()[:45])
    names = ["good.png", "empty.png", "text.jpg", "truncated.png", "gone.png"]
    path = a_manifest(tmp_path, [f"{name},I,{i % 2},train" for i, name in enumerate(names)])
    assert check_manifest(path).totals == {"missing": 1}
    found = {(p.code, p.line) for p in check_manifest(path, open_images=True).problems}
    assert found == {("empty_file", 3), ("not_an_image", 4), ("truncated", 5), ("missing", 6)}


def test_processes_find_the_same_as_one(tmp_path: Path, draw: Draw) -> None:
    content = draw("a.png").read_bytes()
    for i in range(1100):
        (tmp_path / f"{i}.png").write_bytes(b"" if i in (7, 600, 1099) else content)
    path = a_manifest(tmp_path, [f"{i}.png,I,{i % 2}," for i in range(1100)])
    alone = check_manifest(path, open_images=True, workers=1)
    together = check_manifest(path, open_images=True, workers=2)
    assert [p.line for p in alone.problems] == [9, 602, 1101]
    assert together.problems == alone.problems


def test_label_only_in_val(tmp_path: Path) -> None:
    rows = ["a,I,x,train", "b,I,y,train", "c,I,z,val", "d,I,x,val", "e,I,z,val", "f,I,w,val"]
    report = check_manifest(a_manifest(tmp_path, [*rows, "g,I,w,", "h,I,v,test"]))
    found = [p for p in report.problems if p.code == "label_only_in_val"]
    assert [(p.line, p.column) for p in found] == [(4, "label")]
    assert "'z' has 2 row(s)" in found[0].message


def test_a_manifest_of_val_alone_is_no_problem(tmp_path: Path) -> None:
    report = check_manifest(a_manifest(tmp_path, ["a,I,x,val", "b,I,y,val"]))
    assert set(report.totals) == {"missing"}


def test_one_class(tmp_path: Path) -> None:
    report = check_manifest(a_manifest(tmp_path, ["a,I,x,train", "b,I,,train"]))
    assert report.totals["one_class"] == 1
    no_class = check_manifest(a_manifest(tmp_path, ["a,I,,train", "b,I,,train"]))
    assert "one_class" not in no_class.totals


def test_taxonomy_is_applied_first(tmp_path: Path) -> None:
    taxonomy = tmp_path / "t.csv"
    taxonomy.write_text("label,class\nx,copepod\ny,copepod\nblob,\n")
    rows = ["a,I,x,train", "b,I,y,train", "c,I,blob,train", "d,I,new,train", "e,I,new,train"]
    report = check_manifest(a_manifest(tmp_path, rows), taxonomy=taxonomy)
    unknown = [p for p in report.problems if p.code == "unknown_label"]
    assert [(p.line, p.column) for p in unknown] == [(5, "label")]
    assert "'new' (2 row(s))" in unknown[0].message
    assert report.counts[["label", "n"]].to_numpy().tolist() == [["copepod", 2], ["new", 2]]
    only_known = check_manifest(a_manifest(tmp_path, rows[:3]), taxonomy=taxonomy)
    assert only_known.totals["one_class"] == 1


def test_problems_of_one_file_do_not_hide_anothers(tmp_path: Path) -> None:
    good = a_manifest(tmp_path, ["a,I,x,train"], "one.csv")
    with pytest.raises(ManifestError) as caught:
        check_manifests([tmp_path / "absent.csv", good]).raise_if_not_ok()
    assert "absent.csv: no such file" in str(caught.value)
    assert "one.csv, line 2, column image" in str(caught.value)


def test_every_problem_of_a_bad_row_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("object_id,image,instrument,split\n1,a,I,train\n1,b,,vol\n")
    found = {(p.code, p.line) for p in check_manifest(path).problems}
    assert found == {
        ("duplicate_object_id", 3),
        ("empty_value", 3),
        ("unknown_split", 3),
        ("missing", 2),
        ("missing", 3),
    }


def manifest(instrument: str, rows: Sequence[tuple[str, str]], name: str = "m.csv") -> Manifest:
    table = pd.DataFrame(rows, columns=["label", "split"], dtype=TEXT)
    ids = pd.Series([str(i) for i in range(len(rows))], dtype=TEXT)
    table = table.assign(object_id=ids, image=ids + ".png")
    table["instrument"] = pd.Series(instrument, index=table.index, dtype=TEXT)
    return Manifest.of(table, Path(), Path(name))


MID = [("x", "train"), ("y", "train"), ("x", "val"), ("y", "val")]
TARGET = [("", ""), ("", "train")]


def codes(mid: Sequence[tuple[str, str]], target: Sequence[tuple[str, str]] = TARGET) -> list[str]:
    found = check_pair(manifest("A", mid), manifest("B", target))
    return [problem.code for problem in found]


@pytest.mark.parametrize(
    ("mid", "target", "expected"),
    [
        (MID, TARGET, []),
        ([("x", ""), ("y", "")], [("", "")], []),
        ([*MID, ("z", "val")], TARGET, ["label_only_in_val"]),
        ([*MID, ("z", "val"), ("z", "")], TARGET, []),
        ([*MID, ("z", "test")], TARGET, []),
        (MID[::2], TARGET, ["one_class"]),
        (MID[2:], TARGET, ["empty_train", "label_only_in_val", "label_only_in_val"]),
        (MID[:2], TARGET, ["empty_val"]),
        ([], TARGET, ["empty_train"]),
        ([*MID, ("", "train")], TARGET, ["unlabelled"]),
        ([*MID, ("", "test")], TARGET, []),
        (MID, [("", "test"), ("x", "val")], ["empty_train"]),
    ],
)
def test_pairs(
    mid: list[tuple[str, str]], target: list[tuple[str, str]], expected: list[str]
) -> None:
    assert codes(mid, target) == expected


def test_the_targets_instrument_may_not_be_mids() -> None:
    mids = [manifest("A", MID, "a.csv"), manifest("B", MID, "b.csv")]
    found = check_pair(mids, [manifest("C", TARGET, "c.csv"), manifest("B", TARGET, "d.csv")])
    assert [(p.code, p.file) for p in found] == [("same_instrument", "d.csv")]
    with pytest.raises(
        ManifestError, match=r"d\.csv, column instrument: .*'B' is mid's too \(b\.csv\)"
    ):
        found.raise_if_any()


def test_labels_of_several_mid_manifests_count_together() -> None:
    train, val = manifest("A", MID[:2]), manifest("A", MID[2:])
    assert not check_pair([train, val], manifest("B", TARGET))


@pytest.mark.skipif(os.name == "nt", reason="POSIX names")
def test_bad_bytes_in_the_manifests_own_name(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xff.csv"))
    try:
        path.write_text(HEADER + "1,a,I,x,train\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(ManifestError) as caught:
        check_manifests([path]).raise_if_not_ok()
    str(caught.value).encode()
