"""EcoTaxa bundles and exports as manifests."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from plankton_da.errors import DataError, ManifestError
from plankton_da.images.refs import open_image
from plankton_da.manifests.checks import check_manifest
from plankton_da.manifests.ingest import IngestOptions, IngestResult, build_manifest
from plankton_da.manifests.ingest.ecotaxa import build
from plankton_da.manifests.table import read_manifest

Write = Callable[[str], Path]
Bundle = Callable[[Path, Sequence[str], Sequence[Sequence[str]]], Path]


def built(*inputs: Path, out: Path | None = None, **options: bool) -> IngestResult:
    out = out or inputs[0].parent / "m.csv"
    return build(inputs, "CAM", out, IngestOptions(**options))  # type: ignore[arg-type]


def reasons(result: IngestResult, below: Path) -> dict[str, str]:
    """Place relative to a folder -> why; a later one of the same place replaces an earlier."""
    return {os.path.relpath(place, below): why for place, why in result.failed}


@pytest.fixture
def write_bundle(draw_ecotaxa: ModuleType) -> Bundle:
    """A folder with one table; every image that a row names is drawn."""

    def make(folder: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "ecotaxa_x.tsv").write_bytes(draw_ecotaxa.table(columns, rows))
        for row in rows:
            picture = folder / row[list(columns).index("img_file_name")]
            picture.write_bytes(draw_ecotaxa.picture())
        return folder

    return make


# --- bundles and exports ---------------------------------------------------------------------


def test_a_bundle_with_two_tables_is_read_in_its_zip(write: Write, tmp_path: Path) -> None:
    result = built(write("flatbed") / "flatbed.zip", out=tmp_path / "m.csv")
    table = result.table
    assert table["object_id"].tolist() == [
        *(f"tow1_{n}" for n in range(5)),
        *(f"tow2_{n}" for n in range(3)),
    ]
    assert table["image"].iloc[0] == "flatbed/flatbed.zip!tow1/tow1_0.jpg"
    assert table["label"].tolist()[:5] == ["detritus", "egg<other", "detritus", "", ""]
    assert table["group"].unique().tolist() == ["tow1", "tow2"]
    assert table["pixel_size_um"].unique().tolist() == ["10.6"]
    assert table["object_time"].unique().tolist() == ["420"]  # as it stands: 04:20:00
    assert result.failed == []
    assert result.hidden == 1  # the lock file of an office program
    assert sorted(p.name for p in (tmp_path / "flatbed").iterdir()) == ["flatbed.zip"]


def test_what_is_carried_is_what_the_table_says(write: Write) -> None:
    table = built(write("flatbed") / "flatbed.zip").table
    row = table.iloc[1]
    carried = ["object_id", "acq_id", "process_id", "sample_id", "object_annotation_category_id"]
    assert row[carried].tolist() == ["tow1_1", "a_tow1", "p_tow1", "tow1", "85078"]
    assert row["object_annotation_category"] == "egg<other"
    assert row["object_annotation_status"] == "validated"
    assert row["img_file_name"] == "tow1_1.jpg"


def test_only_validated_is_a_label_unless_asked(write: Write) -> None:
    folder = write("zooscan")
    validated = built(folder)
    every = built(folder, all_labels=True)
    none = built(folder, labelled=False)
    labels = validated.table["label"].tolist()
    assert labels == ["fiber<detritus", "", ""] * 4
    assert every.table["label"].tolist() == ["fiber<detritus"] * 12
    assert "label" not in none.table.columns
    assert any("4 predicted, 4 dubious; see --all-labels" in r for r in validated.remarks)
    assert not any("--all-labels" in remark for remark in every.remarks + none.remarks)


def test_an_export_without_type_row_keeps_every_image_of_an_object(write: Write) -> None:
    result = built(write("doi"))
    table = result.table
    assert table["object_id"].tolist() == ["one", "one#2", "two"]
    assert table["ecotaxa_id"].tolist() == ["one", "one", "two"]
    assert table["image"].iloc[1] == "doi/images/egg_other/13_1.jpg"
    assert table["object_annotation_hierarchy"].iloc[2] == "living>Copepoda>Oithona"
    assert result.failed == []


def test_the_first_rank_has_the_objects_id_wherever_it_stands(
    tmp_path: Path, write_bundle: Bundle
) -> None:
    columns = ["img_file_name", "object_id", "img_rank"]
    rows = [["b.png", "x", "2"], ["a.png", "x", "0"], ["c.png", "x", ""], ["d.png", "x#2", "0"]]
    table = built(write_bundle(tmp_path / "in", columns, rows)).table
    assert table["object_id"].tolist() == ["x#3", "x", "x#4", "x#2"]
    assert table["ecotaxa_id"].tolist() == ["x", "x", "x", "x#2"]
    assert table["group"].tolist() == ["x", "x", "x", ""]  # never in two splits


def test_the_original_of_a_vignette_is_left_out(tmp_path: Path, write_bundle: Bundle) -> None:
    columns = ["img_file_name", "object_id", "img_rank"]
    rows = [["v.png", "x", "1"], ["o.png", "x", "100"], ["p.png", "y", "100"]]
    result = built(write_bundle(tmp_path / "in", columns, rows))
    assert result.table["img_file_name"].tolist() == ["v.png", "p.png"]
    assert any(remark.startswith("1 image is the original") for remark in result.remarks)


@pytest.mark.parametrize(
    ("name", "archive", "start"),
    [
        ("uvp6", "b_da_19_Images.zip", "b_da_19_Images.zip!sub1/"),
        ("uvp6_nested", "all.zip", "all.zip!b_da_19_Images.zip!sub1/"),
    ],
)
def test_uvp6_latin1_in_sub_folders_of_nested_zips(
    write: Write, tmp_path: Path, name: str, archive: str, start: str
) -> None:
    folder = write(name)
    result = built(folder / archive, out=folder / "m.csv")
    table = result.table
    assert len(table) == 5
    assert table["image"].iloc[0].startswith(start)
    assert table["object_lat"].unique().tolist() == ["43°0 0"]
    assert table["pixel_size_um"].unique().tolist() == ["73"]
    assert result.failed == []
    for ref in table["image"]:
        open_image(ref, folder)
    assert built(folder, out=folder / "m.csv").table.equals(table)  # the folder leads to the zip


def test_damaged_images_cost_their_rows(write: Write) -> None:
    folder = write("loki")
    result = built(folder)
    assert result.table["img_file_name"].tolist() == ["20200108 080720  764  000001 0702 1167.png"]
    assert result.table["group"].tolist() == ["loki10001.02"]  # no sample: the acquisition
    found = reasons(result, folder)
    assert found["ecotaxa.PS122.txt:6: gone.png"] == "no such image beside the table"
    assert found["ecotaxa.PS122.txt:4"].startswith("truncated: ")
    assert found["ecotaxa.PS122.txt:5"].startswith("not_an_image: ")


def test_the_footer_is_said_with_the_way_out(write: Write) -> None:
    with_footer = [r for r in built(write("zooscan")).remarks if "scale bar" in r]
    without = [r for r in built(write("flatbed")).remarks if "scale bar" in r]
    assert len(with_footer) == 1
    assert "12 of 12 images that were looked at" in with_footer[0]
    assert "crop: {bottom: 31}" in with_footer[0]
    assert without == []


def test_a_status_that_is_none_is_no_label_and_said(tmp_path: Path, write_bundle: Bundle) -> None:
    columns = [
        "img_file_name",
        "object_id",
        "object_annotation_status",
        "object_annotation_category",
    ]
    rows = [
        ["a.png", "a", "predit", "egg"],
        ["b.png", "b", "Validated", "egg"],
        ["c.png", "c", "", "egg"],
    ]
    result = built(write_bundle(tmp_path / "in", columns, rows))
    assert result.table["label"].tolist() == ["", "egg", ""]
    assert any("found 'predit'" in remark for remark in result.remarks)
    assert any("1 predit, 1 no status" in remark for remark in result.remarks)


def test_a_taxon_number_without_name_is_the_label(tmp_path: Path, write_bundle: Bundle) -> None:
    columns = [
        "img_file_name",
        "object_id",
        "object_annotation_status",
        "object_annotation_category_id",
    ]
    result = built(write_bundle(tmp_path / "in", columns, [["a.png", "a", "validated", "84963"]]))
    assert result.table["label"].tolist() == ["84963"]
    assert any("taxon number" in remark for remark in result.remarks)


def test_a_columns_name_that_is_a_manifests_is_renamed(
    tmp_path: Path, write_bundle: Bundle
) -> None:
    columns = ["img_file_name", "object_id", "label", "split", "NoUnderscore"]
    result = built(write_bundle(tmp_path / "in", columns, [["a.png", "a", "mine", "no", "z"]]))
    row = result.table.iloc[0]
    assert row[["label", "table_label", "table_split", "nounderscore"]].tolist() == [
        "",
        "mine",
        "no",
        "z",
    ]
    assert any("table_label, table_split" in remark for remark in result.remarks)


def test_windows_paths_and_blanks_around_names(tmp_path: Path, draw_ecotaxa: ModuleType) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a 100%.png").write_bytes(draw_ecotaxa.picture())
    columns = [" IMG_file_name ", "Object_ID"]
    (folder / "ecotaxa_x.tsv").write_bytes(
        draw_ecotaxa.table(columns, [[" sub\\a 100%.png ", "a"]])
    )
    table = built(folder).table
    assert table["image"].tolist() == ["in/sub/a 100%25.png"]
    open_image(table["image"].iloc[0], tmp_path)


def test_tables_are_found_by_their_header_too_and_others_passed_over(
    tmp_path: Path, write_bundle: Bundle
) -> None:
    folder = write_bundle(tmp_path / "in", ["object_id", "img_file_name"], [["x", "a.png"]])
    (folder / "ecotaxa_x.tsv").rename(folder / "my_table.TXT")
    (folder / "notes.txt").write_text("object_id is what we call it\n")
    (folder / ".ecotaxa_hidden.tsv").write_text("")
    os.mkfifo(folder / "ecotaxa_pipe.tsv")
    (folder / "self").symlink_to("self")
    (folder / "again").symlink_to(".")
    result = built(folder)
    assert result.table["object_id"].tolist() == ["x"]
    assert result.failed == []
    assert result.hidden == 1


def test_the_same_input_twice_is_read_once(write: Write) -> None:
    folder = write("doi")
    result = built(folder, folder / "ecotaxa_export_1_20210530_1122.tsv")
    assert len(result.table) == 3
    assert result.failed == []


def test_of_rows_of_the_same_image_the_validated_one_is_kept(
    write_bundle: Bundle, tmp_path: Path
) -> None:
    columns = ["object_id", "img_file_name", "object_annotation_category"]
    status = [*columns, "object_annotation_status"]
    write_bundle(tmp_path / "in", columns, [["a", "a.png", "egg"], ["b", "b.png", "egg"]])
    write_bundle(
        tmp_path / "in/more",
        status,
        [
            ["b", "b.png", "krill", "predicted"],
            ["a", "a.png", "larva", "Validated"],
            ["a", "a.png", "snow", "validated"],
        ],
    )
    result = built(tmp_path / "in")
    assert dict(zip(result.table["object_id"], result.table["label"], strict=True)) == {
        "a": "larva",
        "b": "",
    }
    why = reasons(result, tmp_path / "in")
    assert why["ecotaxa_x.tsv:3"].endswith("more/ecotaxa_x.tsv:4; that one, validated, is kept")
    assert why["more/ecotaxa_x.tsv:3"].endswith("in/ecotaxa_x.tsv:4; the first is kept")
    assert len(why) == 3


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        built(tmp_path / "nowhere")
    (tmp_path / "in").mkdir()
    with pytest.raises(ManifestError, match="no EcoTaxa table found"):
        built(tmp_path / "in")
    (tmp_path / "in" / "broken.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ManifestError, match=r"broken\.zip: the archive cannot be read"):
        built(tmp_path / "in")


@pytest.mark.parametrize("name", ["in.tar", "in.tgz"])
def test_tars_are_read_in_place_unless_compressed(write: Write, tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / name, "w:gz" if name == "in.tgz" else "w") as archive:
        archive.add(write("doi"), "export")
    if name == "in.tgz":
        with pytest.raises(ManifestError, match="unpack it"):
            built(tmp_path / name)
        return
    table = built(tmp_path / name).table
    assert table["image"].iloc[0] == "in.tar!export/images/egg_other/13_0.jpg"
    open_image(table["image"].iloc[0], tmp_path)


def test_images_that_no_row_names_are_counted(write: Write, draw_ecotaxa: ModuleType) -> None:
    folder = write("doi")
    (folder / "images" / "more.jpg").write_bytes(draw_ecotaxa.picture())
    result = built(folder, folder / "images", folder)
    assert [r for r in result.remarks if "no row names" in r] == [
        "image files that no row names: 1"
    ]
    archive = write("flatbed") / "flatbed.zip"
    assert not any("no row names" in remark for remark in built(archive, archive).remarks)


def test_the_manifest_is_one(write: Write, tmp_path: Path) -> None:
    build_manifest("ecotaxa", [write("flatbed"), write("doi")], "CAM", tmp_path / "m.csv")
    report = check_manifest(tmp_path / "m.csv", open_images=True, workers=1)
    assert report.ok
    assert len(read_manifest(tmp_path / "m.csv").table) == 11
