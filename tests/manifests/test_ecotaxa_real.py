"""What is known of real EcoTaxa bundles and exports holds after the ingest."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from plankton_da.errors import ManifestError
from plankton_da.images.refs import open_image
from plankton_da.manifests.ingest import IngestOptions, IngestResult
from plankton_da.manifests.ingest.ecotaxa import build


def built(path: Path, out: Path, *, all_labels: bool = False) -> IngestResult:
    return build([path], "CAM", out, IngestOptions(all_labels=all_labels))


def reasons(result: IngestResult, below: Path) -> dict[str, str]:
    """Place relative to a folder -> why."""
    return {os.path.relpath(place, below): why for place, why in result.failed}


@pytest.fixture
def real(shared_data: Path) -> Path:
    return shared_data / "formats" / "ecotaxa"


@pytest.mark.parametrize(
    ("name", "rows", "columns", "pixel_um", "hidden"),
    [
        ("epson/import_test.zip", 8, 89, "10.6", 1),
        ("export_doi", 12, 93, "10.6", 0),
        ("uvp6/b_da_19_Images.zip", 15, 121, "73", 0),
        ("uvp6/UVP6_example.zip", 15, 121, "73", 0),
        ("zooscan/export_13539_20240728_0803.zip", 437, 160, "10.6", 0),
    ],
)
def test_real_archives(
    real: Path, tmp_path: Path, name: str, rows: int, columns: int, pixel_um: str, hidden: int
) -> None:
    result = built(real / name, tmp_path / "m.csv")
    table = result.table
    assert len(table) == rows
    added = {"image", "instrument", "label", "group", "pixel_size_um", "ecotaxa_id"}
    assert len(set(table.columns) - added) == columns
    assert table["pixel_size_um"].unique().tolist() == [pixel_um]
    assert result.failed == []
    assert result.hidden == hidden
    assert table["object_id"].is_unique


def test_real_zooscan_export(real: Path, tmp_path: Path) -> None:
    name = real / "zooscan" / "export_13539_20240728_0803.zip"
    result = built(name, tmp_path / "m.csv")
    counts = result.table["object_annotation_status"].value_counts().to_dict()
    assert counts == {"validated": 308, "predicted": 69, "dubious": 60}
    assert (result.table["label"] != "").sum() == 308
    every = built(name, tmp_path / "m.csv", all_labels=True).table["label"]
    assert every.nunique() == 14
    assert every.value_counts().to_dict()["fiber<detritus"] == 166
    assert every.value_counts().to_dict()["artefact"] == 126
    assert any("256 of 256 images that" in remark and "31" in remark for remark in result.remarks)
    assert open_image(result.table["image"].iloc[0], tmp_path).size == (114, 406)


def test_real_doi_export_has_an_object_with_two_images(real: Path, tmp_path: Path) -> None:
    table = built(real / "export_doi", tmp_path / "m.csv").table
    two = table[table["ecotaxa_id"] == "m106_mn01_n3_sml_1111"]
    assert two["object_id"].tolist() == ["m106_mn01_n3_sml_1111", "m106_mn01_n3_sml_1111#2"]
    assert [Path(ref).name for ref in two["image"]] == ["13_0.jpg", "13_1.jpg"]
    assert {Path(ref).parent.name for ref in two["image"]} == {"egg_other"}
    assert set(two["object_annotation_category"]) == {"egg<other"}


def test_real_loki_images_are_all_damaged(real: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        built(real / "loki", tmp_path / "m.csv")
    message = str(caught.value)
    assert [f"ecotaxa.PS122.txt:{line}" in message for line in (3, 4, 5, 6)] == [True] * 4
    assert message.count("no such image") == 1


def test_real_issues_each_cost_what_they_must(real: Path, tmp_path: Path) -> None:
    result = built(real / "issues", tmp_path / "m.csv")
    found = reasons(result, real / "issues")
    assert len(result.table) == 5
    twin = "duplicate_in_tsv/m106_mn01_n3_sml/ecotaxa_m106_mn01_n3_sml_pls.tsv"
    assert sorted(found) == sorted(
        [
            *(f"ambiguous_category/ecotaxa.tsv:{at + 2}: {at}.jpg" for at in (2, 3, 4, 5, 6)),
            "classif_without_state/m106_mn01_n3_sml/ecotaxa_m106_mn01_n3_sml_pls.tsv:3",
            f"{twin}:4",  # the same object; its row before, validated, is kept
            "empty_tsv/ecotaxa_m106_mn01_n365_sml.tsv",
            "empty_tsv2/ecotaxa_m106_mn01_n365_sml.tsv",
            "extra_data_without_header/ecotaxa_m106_mn04_n1_sml.tsv:3",
            "tsv_issues/ecotaxa_m106_mn01_n3_sml.tsv:6: m106_mn01_n3_sml_1081.jpg2",
            "tsv_issues/ecotaxa_m106_mn01_n3_sml.tsv:7",
            "tsv_issues/ecotaxa_m106_mn01_n3_sml.tsv:8",
        ]
    )
    empty = found["empty_tsv2/ecotaxa_m106_mn01_n365_sml.tsv"]
    header = found["empty_tsv/ecotaxa_m106_mn01_n365_sml.tsv"]
    assert (empty, header) == ("is empty", "has a header but no rows")
    assert result.table["label"].tolist().count("part (Annelida)") == 1
    assert result.table["label"].tolist().count("small<egg") == 1
    alone = built(real / "issues" / "duplicate_in_tsv", tmp_path / "m.csv")
    assert alone.table["label"].tolist() == ["small<egg"]
    assert len(alone.failed) == 1


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("minimum/ecotaxa_table_minimum.tsv", 3, 2),
        ("uvp5/ecotaxa_table_with_classification.tsv", 9, 86),
        ("zooscan/ecotaxa_13892_13563.tsv", 1, 154),
        ("zooscan/ecotaxa_table_without_classification.tsv", 7, 152),
        ("ifcb/example_table_ifcb.tsv", 2, 282),
        ("loki/ecotaxa.PS122.txt", 4, 54),
    ],
)
def test_real_tables_with_images_drawn_beside_them(
    real: Path, tmp_path: Path, name: str, rows: int, columns: int
) -> None:
    copy = tmp_path / "in" / Path(name).name
    copy.parent.mkdir()
    copy.write_bytes((real / name).read_bytes())
    with pytest.raises(ManifestError) as caught:
        built(copy, tmp_path / "m.csv")
    named = [line.split(": ")[1] for line in str(caught.value).splitlines()[1:]]
    assert len(named) == rows
    for image in named:
        Image.new("L", (40, 40), 200).save(copy.parent / image, "png")
    result = built(copy, tmp_path / "m.csv")
    added = {"image", "instrument", "label", "group", "pixel_size_um", "ecotaxa_id"}
    assert (len(result.table), len(set(result.table.columns) - added)) == (rows, columns)
    assert result.failed == []
    _check_facts(Path(name).name, result.table)


def _check_facts(name: str, table: pd.DataFrame) -> None:
    facts: dict[str, dict[str, list[str]]] = {
        "ecotaxa_table_with_classification.tsv": {
            "pixel_size_um": ["118"],
            "object_time": ["90239"],
            "acq_pixel": ["nan"],
        },
        "ecotaxa_13892_13563.tsv": {"object_time": ["08:28:00.000"], "pixel_size_um": ["10.6"]},
        "ecotaxa_table_without_classification.tsv": {
            "process_particle_pixel_size_µm": ["0.0106"],
            "pixel_size_um": ["10.6"],
            "object_lat_end": ["NaN"],
        },
        "example_table_ifcb.tsv": {"acq_id": [""], "pixel_size_um": ["0.294118"]},
        "ecotaxa.PS122.txt": {"acq_id": ["loki10001.02"], "group": ["loki10001.02"]},
    }
    for column, values in facts.get(name, {}).items():
        assert table[column].unique().tolist() == values, column
    if name == "ecotaxa_table_without_classification.tsv":
        several = table[table["ecotaxa_id"] == "bongo_3_180_20150711_d2_1_1"]
        assert several["img_rank"].tolist()[:2] == ["0", "1"]
        assert several["object_id"].iloc[0] == "bongo_3_180_20150711_d2_1_1"
