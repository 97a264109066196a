"""INPUTs: every image once, in a stable order, whatever it is called."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plankton_da.errors import DataError, ManifestError, UsageError
from plankton_da.images.refs import open_image
from plankton_da.prediction.inputs import Inputs, Item
from plankton_da.prediction.sources import carried_columns

Draw = Callable[[Path, int], Path]


def open_inputs(*paths: Path, folder: Path, **options: bool) -> Inputs:
    return Inputs(paths, folder, instrument="CAM2", **options)


def ids(inputs: Inputs) -> list[str]:
    items = list(inputs)
    assert inputs.count() == len(items)
    assert len({item.key() for item in items}) == len(items)
    return [item.object_id for item in items]


def opens(item: Item, folder: Path) -> bool:
    return item.problem is None and open_image(item.image, folder).size[0] > 0


def test_folder_is_walked_in_the_order_of_bytes(tmp_path: Path, draw: Draw) -> None:
    names = ["b/2.png", "b/10.png", "a.PNG", "Z.jpg", "b/.hidden.png", ".git/x.png", "é/ü.tif"]
    for seed, name in enumerate(names):
        draw(tmp_path / "in" / name, seed)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    inputs = open_inputs(tmp_path / "in", folder=tmp_path / "out")
    assert ids(inputs) == ["Z.jpg", "a.PNG", "b/10.png", "b/2.png", "é/ü.tif"]
    assert inputs.ignored == {".txt": 1}
    (tmp_path / "out").mkdir()
    items = list(inputs)
    assert [item.image for item in items][:2] == ["../in/Z.jpg", "../in/a.PNG"]
    assert all(opens(item, tmp_path / "out") for item in items)
    assert {item.instrument for item in items} == {"CAM2"}


STRANGE = [
    b"new\nline.png",
    b'comma, quote".png',
    b"return\r.png",
    b"latin1-\xe9.png",
    b"percent%41.png",
    b"hash#1!2.png",
    b" blank .png",
    b"semi;tab\t.png",
]


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere refuse such names")
def test_strange_names_survive(tmp_path: Path, draw: Draw) -> None:
    source = draw(tmp_path / "x.png", 0).read_bytes()
    (tmp_path / "in").mkdir()
    for name in STRANGE:
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(source)
    inputs = open_inputs(tmp_path / "in", folder=tmp_path)
    items = list(inputs)
    assert len(items) == len(STRANGE)
    assert all(opens(item, tmp_path) for item in items)
    found = ids(inputs)
    utf8 = [name.decode() for name in sorted(STRANGE) if b"\xe9" not in name]
    assert [name for name in found if "latin1" not in name] == utf8
    assert "latin1-%E9.png" in found


def test_loops_of_links_end(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "in" / "a" / "1.png", 1)
    (tmp_path / "in" / "a" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to("self")
    (tmp_path / "in" / "self.png").symlink_to("self.png")
    (tmp_path / "in" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "in" / "twin").symlink_to("a")
    items = list(open_inputs(tmp_path / "in", folder=tmp_path))
    assert [item.object_id for item in items] == ["a/1.png", "gone.png", "self.png", "twin/1.png"]
    codes = [item.problem.code if item.problem else "" for item in items]
    assert codes == ["", "missing", "unreadable", ""]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "pipe.png")
    (item,) = open_inputs(tmp_path / "in", folder=tmp_path)
    assert item.problem is not None
    assert item.problem.code == "not_an_image"


def test_state_changes_the_key(tmp_path: Path, draw: Draw) -> None:
    path = draw(tmp_path / "in" / "1.png", 1)
    inputs = open_inputs(tmp_path / "in", folder=tmp_path)
    (before,) = [item.key() for item in inputs]
    (again,) = [item.key() for item in inputs]
    assert before == again
    os.utime(path, ns=(1, 1))
    (touched,) = [item.key() for item in inputs]
    assert touched != before


def test_several_inputs_are_told_apart(tmp_path: Path, draw: Draw) -> None:
    for n, name in enumerate(["x/run/1.png", "y/run/1.png", "x/1.png"]):
        draw(tmp_path / name, n)
    alone = open_inputs(tmp_path / "x" / "run", folder=tmp_path)
    assert ids(alone) == ["1.png"]
    two = open_inputs(tmp_path / "x" / "run", tmp_path / "x" / "1.png", folder=tmp_path)
    assert ids(two) == ["run/1.png", "1.png"]
    same = open_inputs(tmp_path / "y" / "run", tmp_path / "x" / "run", folder=tmp_path)
    assert ids(same) == ["y/run/1.png", "x/run/1.png"]
    files = open_inputs(tmp_path / "x" / "1.png", tmp_path / "y/run/1.png", folder=tmp_path)
    assert ids(files) == ["x/1.png", "run/1.png"]


def test_input_may_be_the_working_directory(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "in" / "1.png", 1)
    monkeypatch.chdir(tmp_path / "in")
    inputs = Inputs([Path()], Path(), instrument="CAM2")
    assert [(item.object_id, item.image) for item in inputs] == [("1.png", "1.png")]


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_zips_are_read_in_place(tmp_path: Path, draw: Draw) -> None:
    picture = draw(tmp_path / "x.png", 1).read_bytes()
    inner = zip_of({"c!#.png": picture})
    members = {"b/2.png": picture, "a.png": picture, "in.zip": inner, ".h.png": b"", "r.txt": b""}
    (tmp_path / "many.zip").write_bytes(zip_of(members))
    inputs = open_inputs(tmp_path / "many.zip", folder=tmp_path)
    assert ids(inputs) == ["a.png", "b/2.png", "in.zip!c!#.png"]
    assert all(opens(item, tmp_path) for item in inputs)
    assert not list(tmp_path.glob("*.tmp"))
    before = [item.key() for item in inputs]
    members["new.png"] = picture
    (tmp_path / "many.zip").write_bytes(zip_of(members))
    assert [item.key() for item in inputs][:3] == before, (
        "members that did not change stay finished"
    )
    holding = tmp_path / "holding"
    holding.mkdir()
    (tmp_path / "many.zip").rename(holding / "many.zip")
    inside = open_inputs(holding, folder=tmp_path)
    assert ids(inside)[0] == "many.zip!a.png"
    assert all(opens(item, tmp_path) for item in inside)


def test_a_damaged_archive_is_one_row(tmp_path: Path, draw: Draw) -> None:
    whole = zip_of({"a.png": draw(tmp_path / "in" / "1.png", 1).read_bytes()})
    (tmp_path / "in" / "0.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "2.zip").write_bytes(zip_of({"broken.zip": b"PK nothing", "a.png": b""}))
    items = list(open_inputs(tmp_path / "in", folder=tmp_path))
    assert [item.object_id for item in items] == [
        "0.zip",
        "1.png",
        "2.zip!a.png",
        "2.zip!broken.zip",
    ]
    codes = [item.problem.code if item.problem else "" for item in items]
    assert codes == ["archive_damaged", "", "", "archive_damaged"]


def test_boxes_of_collages_stay_in_rewritten_refs(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "lab" / "run 50%.tif", 1)
    table = pd.DataFrame({"object_id": ["a", "b"], "instrument": "CAM2"})
    table["image"] = ["run 50%25.tif#1,2,3,4", "run 50%25.tif#4,3,2,1"]
    table.to_csv(tmp_path / "lab" / "m.csv", index=False)
    (tmp_path / "out").mkdir()
    items = list(open_inputs(tmp_path / "lab" / "m.csv", folder=tmp_path / "out"))
    assert [item.image.split("#")[1] for item in items] == ["1,2,3,4", "4,3,2,1"]
    assert [open_image(item.image, tmp_path / "out").size for item in items] == [(3, 4), (2, 1)]


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_tars_are_read_in_place(tmp_path: Path, draw: Draw) -> None:
    picture = draw(tmp_path / "x.png", 1).read_bytes()
    inner = zip_of({"c.png": picture})
    members = {"./b/2.png": picture, "./a.png": picture, "./.h.png": b"", "./in.zip": inner}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "day.TAR").write_bytes(tar_of(members))
    (tmp_path / "in" / "old.tar.gz").write_bytes(gzip.compress(tar_of(members)))
    inputs = open_inputs(tmp_path / "in", folder=tmp_path)
    assert ids(inputs) == ["day.TAR!a.png", "day.TAR!b/2.png", "day.TAR!in.zip!c.png"]
    assert all(opens(item, tmp_path) for item in inputs)
    assert inputs.ignored[".tar.gz"] > 0
    alone = open_inputs(tmp_path / "in" / "day.TAR", folder=tmp_path)
    assert ids(alone) == ["a.png", "b/2.png", "in.zip!c.png"]
    with pytest.raises(DataError, match=r"gunzip\) to a \.tar"):
        open_inputs(tmp_path / "in" / "old.tar.gz", folder=tmp_path)


@pytest.mark.parametrize(("suffix", "write"), [(".zip", zip_of), (".tar", tar_of)])
def test_of_a_cut_archive_the_rest_is_found(
    suffix: str, write: Callable[[dict[str, bytes]], bytes], tmp_path: Path, draw: Draw
) -> None:
    picture = draw(tmp_path / "x.png", 1).read_bytes()
    whole = write({f"{n}.png": picture for n in range(4)})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"cut{suffix}").write_bytes(whole[: whole.index(b"2.png") + 40])
    items = list(open_inputs(tmp_path / "in", folder=tmp_path))
    codes = {item.object_id: item.problem.code if item.problem else "" for item in items}
    expected = {
        f"cut{suffix}": "archive_damaged",
        f"cut{suffix}!0.png": "",
        f"cut{suffix}!1.png": "",
    }
    assert codes.items() >= expected.items()
    assert all(opens(item, tmp_path) for item in items[1:3])


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere fold case")
def test_names_that_differ_by_case_only(tmp_path: Path, draw: Draw) -> None:
    for n, name in enumerate(["a.png", "A.png", "a.PNG", "B/x.png", "b/x.png"]):
        draw(tmp_path / "in" / name, n)
    inputs = open_inputs(tmp_path / "in", folder=tmp_path)
    assert ids(inputs) == ["A.png", "B/x.png", "a.PNG", "a.png", "b/x.png"]


def test_a_hundred_thousand_files_in_one_folder(tmp_path: Path, draw: Draw) -> None:
    picture = draw(tmp_path / "x.png", 1)
    (tmp_path / "in").mkdir()
    for n in range(100_000):
        if n % 50_000 == 0:  # file systems bound the links to one file
            picture = draw(tmp_path / f"x{n}.png", n)
        os.link(picture, tmp_path / "in" / f"{n:05}.png")
    inputs = open_inputs(tmp_path / "in", folder=tmp_path)
    items = [item.object_id for item in inputs]
    assert items == [f"{n:05}.png" for n in range(100_000)]


def test_manifest_keeps_order_and_refs_are_rewritten(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "lab" / "im" / "1.png", 1)
    draw(tmp_path / "lab" / "50%.png", 2)
    absolute = draw(tmp_path / "elsewhere" / "3.png", 3)
    archive = tmp_path / "lab" / "a.zip"
    archive.write_bytes(zip_of({"m.png": absolute.read_bytes()}))
    table = pd.DataFrame(
        {
            "object_id": ["007", "NA", "c", "d", "e"],
            "image": ["im/../im/1.png", "50%25.png", str(absolute), "a.zip!m.png", "gone.png"],
            "instrument": ["CAM2", "CAM1", "CAM2", "CAM2", "CAM2"],
            "label": ["copepod", "NA", "", "", ""],
            "depth_m": ["1.50", "", "NA", "", ""],
        }
    )
    table.to_csv(tmp_path / "lab" / "m.csv", index=False)
    (tmp_path / "out").mkdir()
    inputs = open_inputs(tmp_path / "lab" / "m.csv", folder=tmp_path / "out")
    items = list(inputs)
    assert [item.object_id for item in items] == ["007", "NA", "c", "d", "e"]
    assert [item.image for item in items] == [
        "../lab/im/1.png",
        "../lab/50%25.png",
        "../elsewhere/3.png",
        "../lab/a.zip!m.png",
        "../lab/gone.png",
    ]
    assert [opens(item, tmp_path / "out") for item in items] == [True] * 4 + [False]
    assert inputs.instruments == ("CAM1", "CAM2")
    assert inputs.carried == ("true_label", "depth_m")
    sources, rows = np.zeros(2, np.int32), np.array([2, 0])
    assert list(inputs.carried_values("depth_m", sources, rows)) == ["NA", "1.50"]
    overridden = open_inputs(tmp_path / "lab" / "m.csv", folder=tmp_path / "out", override=True)
    assert {item.instrument for item in overridden} == {"CAM2"}


def test_columns_that_a_manifest_brings() -> None:
    base = ["object_id", "image", "instrument"]
    assert carried_columns([*base, "label", "split"]) == {"true_label": "label", "split": "split"}
    assert carried_columns([*base, "score"]) == {"input_score": "score"}
    predictions = [*base, "label", "score", "raw_label", "raw_score", "error", "label_2", "p_x"]
    assert carried_columns(predictions) == {}
    assert carried_columns([*predictions, "true_label", "z"]) == {
        "true_label": "true_label",
        "z": "z",
    }


def test_inputs_that_cannot_be(tmp_path: Path, draw: Draw) -> None:
    picture = draw(tmp_path / "1.png", 1)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(DataError) as caught:
        open_inputs(picture, tmp_path / "nowhere", tmp_path / "x.txt", folder=tmp_path)
    assert "nowhere: no such" in str(caught.value)
    assert "x.txt: neither" in str(caught.value)
    with pytest.raises(UsageError, match="twice"):
        open_inputs(picture, picture.parent / "." / "1.png", folder=tmp_path)
    with pytest.raises(UsageError, match="no INPUT"):
        open_inputs(folder=tmp_path)


def test_an_object_id_in_two_manifests(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.png", 1)
    for name in ("m.csv", "n.csv"):
        (tmp_path / name).write_text("object_id,image,instrument\nx,1.png,CAM2\n")
    with pytest.raises(ManifestError, match="'x'"):
        open_inputs(tmp_path / "m.csv", tmp_path / "n.csv", folder=tmp_path)
