"""Folders of image files as manifests."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plankton_da.errors import DataError, ManifestError, OutputError, UsageError
from plankton_da.images.refs import open_image
from plankton_da.manifests.checks import check_manifest
from plankton_da.manifests.ingest import IngestOptions, IngestResult, build_manifest
from plankton_da.manifests.ingest.folders import build
from plankton_da.manifests.table import read_manifest

Draw = Callable[[str], Path]


def built(*inputs: Path, out: Path, labelled: bool = True) -> IngestResult:
    return build(inputs, "IFCB", out, IngestOptions(labelled=labelled))


def test_a_sub_folder_is_a_label_however_deep(tmp_path: Path, draw: Draw) -> None:
    for name in ("in/copepod/b.png", "in/copepod/2020/a.jpg", "in/NA/c.TIF"):
        draw(name)
    table = built(tmp_path / "in", out=tmp_path / "m.csv").table
    assert table.to_dict("list") == {
        "object_id": ["NA/c.TIF", "copepod/b.png", "copepod/2020/a.jpg"],
        "image": ["in/NA/c.TIF", "in/copepod/b.png", "in/copepod/2020/a.jpg"],
        "instrument": ["IFCB"] * 3,
        "label": ["NA", "copepod", "copepod"],
    }


def test_unlabelled_folders_may_be_flat_or_nested(tmp_path: Path, draw: Draw) -> None:
    draw("in/a.png")
    draw("in/bin/b.png")
    table = built(tmp_path / "in", out=tmp_path / "in" / "m.csv", labelled=False).table
    assert table["object_id"].tolist() == ["a.png", "bin/b.png"]
    assert table["image"].tolist() == ["a.png", "bin/b.png"]
    assert "label" not in table.columns


def test_what_is_left_out_is_named_with_the_reason(tmp_path: Path, draw: Draw) -> None:
    draw("in/a/x.png")
    draw("in/flat.png")
    for name in ("a/notes.txt", "a/README", "a/more.zip", ".DS_Store", "a/Thumbs.db", "a/._x.png"):
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "a" / "gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "in" / "a" / "pipe.png")
    draw("in/.hidden/y.png")
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table["object_id"].tolist() == ["a/x.png"]
    assert result.hidden == 4
    reasons = {os.path.relpath(path, tmp_path / "in"): why for path, why in result.skipped}
    assert {name: why.split()[0:3] for name, why in reasons.items()} == {
        "a/notes.txt": ["not", "an", "image"],
        "a/README": ["a", "name", "without"],
        "a/more.zip": ["an", "archive;", "name"],
        "a/pipe.png": ["not", "a", "regular"],
        "flat.png": ["lies", "in", "no"],
    }
    assert result.failed == [(str(tmp_path / "in" / "a" / "gone.png"), "a broken link")]


def packed(path: Path, folder: Path, inside: str = "") -> Path:
    """A zip of a folder's files, below ``inside``."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{inside}{file.relative_to(folder)}")
    return path


@pytest.mark.parametrize("inside", ["", "archive/"])
def test_a_zip_of_class_folders_is_read_in_place(tmp_path: Path, draw: Draw, inside: str) -> None:
    for name in ("in/a/50%.png", "in/b/deep/y.png", "in/.hidden.png", "in/a/notes.txt"):
        draw(name)
    if not inside:
        draw("in/flat.png")
    path = packed(tmp_path / "archive.zip", tmp_path / "in", inside)
    result = built(path, out=tmp_path / "m.csv")
    assert result.table.to_dict("list") == {
        "object_id": [f"{inside}a/50%.png", f"{inside}b/deep/y.png"],
        "image": [f"archive.zip!{inside}a/50%25.png", f"archive.zip!{inside}b/deep/y.png"],
        "instrument": ["IFCB", "IFCB"],
        "label": ["a", "b"],
    }
    assert [open_image(ref, tmp_path).size for ref in result.table["image"]] == [(4, 3)] * 2
    assert result.hidden == 1
    assert len(result.skipped) == (1 if inside else 2)
    assert len(result.remarks) == bool(inside)
    unlabelled = built(path, out=tmp_path / "m.csv", labelled=False)
    assert len(unlabelled.table) == (2 if inside else 3)
    both = built(path, tmp_path / "in", out=tmp_path / "m.csv").table["object_id"].tolist()
    packed_ids = [f"archive.zip/{inside}a/50%.png", f"archive.zip/{inside}b/deep/y.png"]
    assert both == [*packed_ids, "in/a/50%.png", "in/b/deep/y.png"]


def test_a_zip_of_zipped_classes(tmp_path: Path, draw: Draw) -> None:
    draw("copepod/x.png")
    draw("medusa/x.png")
    (tmp_path / "in").mkdir()
    for name in ("copepod", "medusa"):
        packed(tmp_path / "in" / f"{name}.zip", tmp_path / name)
    path = packed(tmp_path / "all.zip", tmp_path / "in")
    table = built(path, out=tmp_path / "m.csv").table
    assert table["image"].tolist() == ["all.zip!copepod.zip!x.png", "all.zip!medusa.zip!x.png"]
    assert table["label"].tolist() == ["copepod", "medusa"]


def test_a_damaged_zip_gives_what_is_left(tmp_path: Path, draw: Draw) -> None:
    for name in ("in/a/x.png", "in/b/y.png"):
        draw(name)
    whole = packed(tmp_path / "whole.zip", tmp_path / "in").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-60])
    result = built(tmp_path / "cut.zip", out=tmp_path / "m.csv")
    assert result.table["label"].tolist()[0] == "a"
    ((place, why),) = result.failed
    assert place == str(tmp_path / "cut.zip")
    assert why.startswith("archive_damaged: ")
    (tmp_path / "none.zip").write_bytes(b"PK nothing")
    with pytest.raises(ManifestError, match="archive_damaged"):
        built(tmp_path / "none.zip", out=tmp_path / "m.csv")


def test_links_in_a_circle_end_and_each_folder_is_entered_once(tmp_path: Path, draw: Draw) -> None:
    draw("in/b/x.png")
    draw("elsewhere/y.png")
    (tmp_path / "in" / "b" / "up").symlink_to("..")
    (tmp_path / "in" / "a").symlink_to("b")
    (tmp_path / "in" / "self").symlink_to("self")
    (tmp_path / "in" / "c").symlink_to(tmp_path / "elsewhere")
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table["object_id"].tolist() == ["b/x.png", "c/y.png"]
    assert result.table["image"].tolist() == ["in/b/x.png", "in/c/y.png"]
    names = sorted(os.path.relpath(path, tmp_path / "in") for path, _ in result.skipped)
    assert names == ["a", "b/up"]
    assert result.failed == [(str(tmp_path / "in" / "self"), "a broken link")]


def test_several_inputs_have_ids_of_their_own(tmp_path: Path, draw: Draw) -> None:
    draw("one/a/x.png")
    draw("two/a/x.png")
    table = built(tmp_path / "two", tmp_path / "one", out=tmp_path / "m.csv").table
    assert table["object_id"].tolist() == ["two/a/x.png", "one/a/x.png"]
    assert table["label"].tolist() == ["a", "a"]
    draw("three/one/a/x.png")
    with pytest.raises(UsageError, match="2 inputs are called 'one'"):
        built(tmp_path / "one", tmp_path / "three" / "one", out=tmp_path / "m.csv")


def test_strange_names_survive_to_the_open_image(tmp_path: Path, draw: Draw) -> None:
    names = ["a,b.png", 'quo"te.png', "new\nline.png", "cr\r.png", "50%.png", "#1!.png", "%41.png"]
    names += ["é.png", " blank .png", "NA.png", "007.png", "-x.png"]
    for name in names:
        draw(f"in/la,bel\n/{name}")
    folder = os.fsencode(tmp_path / "in") + b"/la,bel\n/"
    try:
        os.rename(folder + b"NA.png", folder + b"\xff\xfe.png")
        names[names.index("NA.png")] = "%FF%FE.png"
    except OSError:
        pass  # this file system takes UTF-8 names only
    out = tmp_path / "elsewhere" / "m.csv"
    build_manifest("folders", [tmp_path / "in"], "IFCB", out)
    manifest = read_manifest(out)
    assert sorted(manifest.table["object_id"]) == sorted(f"la,bel\n/{name}" for name in names)
    assert set(manifest.table["label"]) == {"la,bel\n"}
    for ref in manifest.table["image"]:
        assert open_image(ref, manifest.root).size == (4, 3)
    report = check_manifest(out, open_images=True)
    assert report.totals == {"one_class": 1}


def test_the_archive_may_be_moved_with_its_manifest(tmp_path: Path, draw: Draw) -> None:
    draw("archive/in/a/x.png")
    build_manifest("folders", [tmp_path / "archive" / "in"], "I", tmp_path / "archive" / "m.csv")
    (tmp_path / "archive").rename(tmp_path / "moved")
    manifest = read_manifest(tmp_path / "moved" / "m.csv")
    assert open_image(manifest.table["image"][0], manifest.root).size == (4, 3)


def test_the_manifests_folder_may_be_reached_by_a_link(tmp_path: Path, draw: Draw) -> None:
    draw("data/in/a/x.png")
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "link").symlink_to("deep/deeper")
    build_manifest("folders", [tmp_path / "data" / "in"], "I", tmp_path / "link" / "m.csv")
    manifest = read_manifest(tmp_path / "link" / "m.csv")
    assert open_image(manifest.table["image"][0], manifest.root).size == (4, 3)


def test_the_order_is_that_of_names(tmp_path: Path, draw: Draw) -> None:
    names = ["B/1.png", "B/10.png", "B/2.png", "a/1.png", "a/b/1.png", "é/1.png"]
    for name in reversed(names):
        draw(f"in/{name}")
    assert built(tmp_path / "in", out=tmp_path / "m.csv").table["object_id"].tolist() == names


def test_nothing_is_overwritten_silently(tmp_path: Path, draw: Draw) -> None:
    draw("in/a/x.png")
    out = tmp_path / "m.csv"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        build_manifest("folders", [tmp_path / "in"], "I", out)
    assert out.read_text() == "mine"
    build_manifest("folders", [tmp_path / "in"], "I", out, overwrite=True)
    assert len(read_manifest(out).table) == 1


def test_nothing_found(tmp_path: Path, draw: Draw) -> None:
    draw("in/flat.png")
    out = tmp_path / "m.csv"
    with pytest.raises(ManifestError, match="--unlabelled") as caught:
        build_manifest("folders", [tmp_path / "in"], "I", out)
    assert "expected DIR/<label>/<image>" in str(caught.value)
    assert not out.exists()


def test_impossible_requests(tmp_path: Path, draw: Draw) -> None:
    file = draw("a/x.png")
    out = tmp_path / "m.csv"
    with pytest.raises(DataError, match="neither a folder nor"):
        build_manifest("folders", [file], "I", out)
    with pytest.raises(DataError, match="no such file or folder"):
        build_manifest("folders", [tmp_path / "absent"], "I", out)
    with pytest.raises(UsageError, match="did you mean folders"):
        build_manifest("folder", [tmp_path], "I", out)
    with pytest.raises(UsageError, match="--instrument"):
        build_manifest("folders", [tmp_path], " ", out)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, draw: Draw) -> None:
    draw("in/a/x.png")
    draw("in/secret/y.png")
    (tmp_path / "in" / "secret").chmod(0)
    try:
        if os.access(tmp_path / "in" / "secret", os.R_OK):
            pytest.skip("this user may read everything")
        result = built(tmp_path / "in", out=tmp_path / "m.csv")
    finally:
        (tmp_path / "in" / "secret").chmod(0o755)
    assert [why for _, why in result.failed] == ["folder cannot be read: Permission denied"]
