"""Public sets and training sets that have a layout of their own, unpacked and packed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from plankton_da.errors import ManifestError, PlanktonDAError, UsageError
from plankton_da.images.refs import open_image
from plankton_da.manifests.checks import check_manifest
from plankton_da.manifests.ingest import INGESTS, IngestOptions, IngestResult, build_manifest
from plankton_da.manifests.table import read_manifest

Draw = Callable[[str], Path]
UNLABELLED = IngestOptions(labelled=False)

LAB = [f"DAPlankton_lab/{where}" for where in ("CS/A b/1.jpg", "FC/A b/1.png", "IFCB/C/1.png")]
SEA = [f"DAPlankton_sea/{where}" for where in ("CS/A b/1.jpg", "IFCB/A b/1.png", "IFCB/C/2.png")]


def built(
    name: str, *inputs: Path, instrument: str = "CAM", unlabelled: bool = False
) -> IngestResult:
    options = UNLABELLED if unlabelled else IngestOptions()
    return INGESTS[name].build(inputs, instrument, inputs[0].parent / "m.csv", options)


def zip_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), 200).save(buffer, {"jpg": "JPEG", "png": "PNG"}[kind])
    return buffer.getvalue()


@pytest.fixture
def daplankton(tmp_path: Path, draw: Draw, request: pytest.FixtureRequest) -> Path:
    """The set as a folder, as two zips in a folder, or as it is distributed: zips in a zip."""
    halves = {
        half: zip_of((name, picture(name[-3:])) for name in names)
        for half, names in (("DAPlankton_lab.zip", LAB), ("DAPlankton_sea.zip", SEA))
    }
    place = tmp_path / "download"
    if request.param == "twice_zipped":
        (tmp_path / "DAPlankton.zip").write_bytes(zip_of([*halves.items(), ("readme.txt", b"x")]))
        return tmp_path / "DAPlankton.zip"
    place.mkdir()
    for half, data in halves.items():
        (place / half).write_bytes(data)
        if request.param == "folders":
            zipfile.ZipFile(place / half).extractall(place)
            (place / half).unlink()
    return place


LAYOUTS = pytest.mark.parametrize(
    "daplankton", ["folders", "zips_in_a_folder", "twice_zipped"], indirect=True
)


@LAYOUTS
def test_daplankton_has_one_instrument_or_all(daplankton: Path) -> None:
    result = built("daplankton", daplankton, instrument="all")
    assert result.failed == []
    assert sorted(result.table["object_id"]) == [
        "lab/CS/A b/1.jpg",
        "lab/FC/A b/1.png",
        "lab/IFCB/C/1.png",
        "sea/CS/A b/1.jpg",
        "sea/IFCB/A b/1.png",
        "sea/IFCB/C/2.png",
    ]
    assert set(result.table["instrument"]) == {"CS", "FC", "IFCB"}
    assert set(result.table["licence"]) == {"CC BY 4.0"}
    for ref in result.table["image"]:
        assert open_image(ref, daplankton.parent).size == (4, 3)
    ifcb = built("daplankton", daplankton, instrument="IFCB").table
    assert sorted(ifcb["object_id"]) == [
        "lab/IFCB/C/1.png",
        "sea/IFCB/A b/1.png",
        "sea/IFCB/C/2.png",
    ]
    assert set(ifcb["instrument"]) == {"IFCB"}
    sea = built("daplankton", daplankton, instrument="sea/cs").table
    assert sea["object_id"].tolist() == ["sea/CS/A b/1.jpg"]
    assert sea["label"].tolist() == ["A b"]
    with pytest.raises(ManifestError, match="expected DAPlankton_sea/FC/<class>/<image>"):
        built("daplankton", daplankton, instrument="sea/FC")


@pytest.mark.parametrize("daplankton", ["twice_zipped"], indirect=True)
def test_a_twice_zipped_image_is_read_in_place(daplankton: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    build_manifest("daplankton", [daplankton], "sea/IFCB", out)
    assert read_manifest(out).table["image"].tolist() == [
        "DAPlankton.zip!DAPlankton_sea.zip!DAPlankton_sea/IFCB/A b/1.png",
        "DAPlankton.zip!DAPlankton_sea.zip!DAPlankton_sea/IFCB/C/2.png",
    ]
    assert check_manifest(out, open_images=True, workers=1).ok
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DAPlankton.zip", "m.csv"]


@pytest.mark.parametrize("daplankton", ["folders"], indirect=True)
def test_daplankton_may_be_named_from_any_folder_on(daplankton: Path, tmp_path: Path) -> None:
    lab = built("daplankton", daplankton / "DAPlankton_lab", instrument="CS").table
    assert lab["object_id"].tolist() == ["lab/CS/A b/1.jpg"]
    camera = built("daplankton", daplankton / "DAPlankton_sea" / "CS", instrument="CS").table
    assert camera["object_id"].tolist() == ["sea/CS/A b/1.jpg"]
    (daplankton / "again.zip").write_bytes(zip_of([(LAB[0], picture("jpg"))]))
    (daplankton / "odd.png").write_bytes(picture("png"))
    both = built("daplankton", daplankton, instrument="CS")
    assert len(both.table) == 2
    reasons = sorted(why for _, why in both.skipped)
    assert reasons[0].startswith("does not lie in")
    assert reasons[1] == "is there already, packed or unpacked"
    for wrong in ("CytoSense", "lab/", "pond/CS", "lab/sea/CS"):
        with pytest.raises(UsageError, match="DAPlankton has CS"):
            built("daplankton", daplankton, instrument=wrong)
    assert "label" not in built("daplankton", daplankton, instrument="CS", unlabelled=True).table


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "zips"])
def test_planktonset_labels_train_and_leaves_kaggles_test_out(
    tmp_path: Path, draw: Draw, packed: bool
) -> None:
    names = ["train/copepod_cyclopoid/7.jpg", "train/artifacts/9.jpg", "test/1.jpg"]
    place = tmp_path / "ndsb"
    place.mkdir()
    for half in ("train", "test"):
        mine = [(name, picture("jpg")) for name in names if name.startswith(half)]
        (place / f"{half}.zip").write_bytes(zip_of(mine))
        if not packed:
            zipfile.ZipFile(place / f"{half}.zip").extractall(place)
            (place / f"{half}.zip").unlink()
    result = built("planktonset", place, instrument="ISIIS")
    assert sorted(result.table["object_id"]) == ["train/artifacts/9.jpg", names[0]]
    assert sorted(result.table["label"]) == ["artifacts", "copepod_cyclopoid"]
    assert "split" not in result.table.columns
    assert [why for _, why in result.skipped] == [
        "a test image without label; --unlabelled takes it"
    ]
    assert all(open_image(ref, tmp_path).size == (4, 3) for ref in result.table["image"])
    everything = built("planktonset", place, instrument="ISIIS", unlabelled=True).table
    assert sorted(everything["object_id"]) == sorted(names)
    assert "label" not in everything.columns
    half = place / ("train.zip" if packed else "train")
    assert sorted(built("planktonset", half).table["object_id"]) == sorted(names[:2])


def test_planktonset_with_a_labelled_test_half(tmp_path: Path, draw: Draw) -> None:
    draw("set/train/a/1.jpg")
    draw("set/test/a/2.jpg")
    table = built("planktonset", tmp_path / "set").table
    assert dict(zip(table["object_id"], table["split"], strict=True)) == {
        "test/a/2.jpg": "test",
        "train/a/1.jpg": "",
    }
    draw("classes/a/3.jpg")
    assert built("planktonset", tmp_path / "classes").table["label"].tolist() == ["a"]


def test_uvpec_keeps_the_taxons_number(tmp_path: Path, draw: Draw) -> None:
    for folder in ("Copepoda<Hexanauplia__25828", "seaweed", "x__y__12", "__3", "two__1", "two__2"):
        draw(f"set/{folder}/a.png")
    result = built("uvpec", tmp_path / "set", instrument="UVP6")
    table = result.table
    number = table["object_annotation_category_id"]
    assert dict(zip(table["object_id"], zip(table["label"], number, strict=True), strict=True)) == {
        "Copepoda<Hexanauplia__25828/a.png": ("Copepoda<Hexanauplia", "25828"),
        "__3/a.png": ("__3", ""),
        "seaweed/a.png": ("seaweed", ""),
        "two__1/a.png": ("two", "1"),
        "two__2/a.png": ("two", "2"),
        "x__y__12/a.png": ("x__y", "12"),
    }
    assert result.remarks == [
        "__3: the folder's name does not end with __ID; no taxon id",
        "seaweed: the folder's name does not end with __ID; no taxon id",
        "two: one label for several taxa of EcoTaxa (1, 2)",
    ]
    deep = built("uvpec", tmp_path, instrument="UVP6").table
    assert set(deep["label"]) == set(table["label"])


def test_archives_in_archives_end_somewhere(tmp_path: Path) -> None:
    data = zip_of([("a/x.png", picture("png"))])
    for depth in range(5):
        data = zip_of([(f"{depth}.zip", data), (f"a/{depth}.png", picture("png"))])
    (tmp_path / "deep.zip").write_bytes(data)
    result = built("uvpec", tmp_path / "deep.zip")
    assert len(result.table) == 3
    assert [why for _, why in result.skipped] == ["an archive too deep in archives"]


@pytest.mark.parametrize("name", ["folders", "uvpec", "planktonset", "daplankton"])
@given(data=st.binary(max_size=200), cut=st.integers(0, 300), at=st.integers(0, 300))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_images_or_our_error(
    tmp_path: Path, name: str, data: bytes, cut: int, at: int
) -> None:
    good = zip_of([("train/CS/a__1/x.jpg", b"1"), ("lab/IFCB/b/y.zip", b"2")])
    (tmp_path / "x.zip").write_bytes(good[:at] + data + good[at + cut :])
    try:
        result = built(name, tmp_path / "x.zip", instrument="all")
    except PlanktonDAError:
        return
    assert result.table["object_id"].is_unique
