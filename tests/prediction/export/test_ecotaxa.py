"""EcoTaxa's zips: what stands in them, and that they are whole or not there."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.errors import DataError, ManifestError, OutputError, UsageError
from plankton_da.manifests.ecotaxa_check import check_bundle
from plankton_da.prediction.export import ExportOptions, ExportResult, export_predictions

Predicted = Callable[..., Path]

PEOPLE = {
    "object_annotation_category": ["egg<other", "", "fiber"],
    "object_annotation_category_id": ["45072", "", "85076"],
    "object_annotation_status": ["validated", "", "predicted"],
    "object_annotation_person_name": ["Ann", "", ""],
    "object_annotation_date": ["20240715", "", ""],
}
THREE = [
    {"object_id": "a.png"},
    {"object_id": "b.png"},
    {"object_id": "c.png", "label": "unclassified", "raw_label": "medusa"},
]


def exported(path: Path, **options: object) -> ExportResult:
    asked = ExportOptions(**options)  # type: ignore[arg-type]
    return export_predictions(path, "ecotaxa", path.with_name("X.zip"), asked)


def tables(path: Path) -> dict[str, list[dict[str, str]]]:
    """Rows by table, as EcoTaxa's importer reads them; the first of each holds the types."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".tsv"):
                data = archive.read(name)
                assert data.startswith(b"\xef\xbb\xbf")
                text = io.StringIO(data.decode("utf-8-sig"), newline="")
                found[name] = list(csv.DictReader(text, delimiter="\t", quotechar='"'))
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    (rows,) = tables(path).values()
    return rows[1:]


def types_of(path: Path) -> dict[str, str]:
    (rows,) = tables(path).values()
    return rows[0]


def test_label_status_score_and_model(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted([{"object_id": "in/a.png", "label": "NA", "score": "0.1"}])
    result = exported(path)
    (row,) = rows_of(tmp_path / "X.zip")
    assert row == {
        "object_id": "in/a.png",
        "img_file_name": "in__a.png",
        "object_annotation_category": "NA",
        "object_annotation_status": "predicted",
        "object_da_label": "NA",
        "object_da_score": "0.1",
        "object_da_model": "models:/zoo@champion sha256:0123456789ab",
        "acq_id": "CAM1",
        "acq_instrument": "CAM1",
    }
    assert types_of(tmp_path / "X.zip")["object_da_score"] == "[f]"
    assert (result.rows, result.skipped) == (1, [])
    report = check_bundle(tmp_path / "X.zip")
    assert (report.ok, bool(report.warnings)) == (True, False)


def test_a_model_in_a_folder_is_named_without_its_place(
    predicted: Predicted, tmp_path: Path
) -> None:
    run = {"bundle": "/home/me/runs/source_only-0/bundle", "options": {"model": "ab" * 32}}
    exported(predicted(THREE, run=run))
    assert {row["object_da_model"] for row in rows_of(tmp_path / "X.zip")} == {
        "source_only-0 sha256:abababababab"
    }


def test_an_unclassified_image_has_neither_category_nor_status(
    predicted: Predicted, tmp_path: Path
) -> None:
    result = exported(predicted(THREE))
    row = rows_of(tmp_path / "X.zip")[2]
    assert (row["object_annotation_category"], row["object_annotation_status"]) == ("", "")
    assert row["object_da_label"] == "medusa"
    assert "1 image gets no category (unclassified, or without one in the map)" in result.notes


def test_failed_images_and_lost_ones_are_named(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted(
        [
            {"object_id": "a.png"},
            {"object_id": "b.png", "error": "truncated: cut"},
            {"object_id": "c.png"},
        ]
    )
    (tmp_path / "c.png").unlink()
    result = exported(path)
    assert result.rows == 1
    assert result.skipped == [("b.png", "truncated: cut"), ("c.png", "missing: no file c.png")]
    assert [row["object_id"] for row in rows_of(tmp_path / "X.zip")] == ["a.png"]


def test_an_image_keeps_its_bytes(predicted: Predicted, tmp_path: Path) -> None:
    Image.new("L", (9, 9), 3).save(tmp_path / "j.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "j.jpg", "m/j.jpg")
    exported(
        predicted([{"object_id": "j.jpg"}, {"object_id": "m/j.jpg", "image": "a.zip!m/j.jpg"}])
    )
    with zipfile.ZipFile(tmp_path / "X.zip") as archive:
        for name in ("j.jpg", "m__j.jpg"):
            assert archive.read(name) == (tmp_path / "j.jpg").read_bytes()


def test_what_ecotaxa_cannot_show_becomes_a_png(predicted: Predicted, tmp_path: Path) -> None:
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    Image.fromarray(ramp.astype(np.uint16) << 8).save(tmp_path / "b.tif")
    rows = [
        {"object_id": "a.tif"},
        {"object_id": "b.tif"},
        {"object_id": "box", "image": "a.tif#2,1,4,3"},
    ]
    exported(predicted(rows))
    with zipfile.ZipFile(tmp_path / "X.zip") as archive:
        found = {
            name: Image.open(io.BytesIO(archive.read(name)))
            for name in archive.namelist()
            if not name.endswith(".tsv")
        }
    assert {name: image.format for name, image in found.items()} == {
        "a.tif.png": "PNG",
        "b.tif.png": "PNG",
        "box.png": "PNG",
    }
    assert np.array_equal(np.asarray(found["a.tif.png"]), ramp)
    assert np.array_equal(np.asarray(found["b.tif.png"]), ramp)
    assert np.array_equal(np.asarray(found["box.png"]), ramp[1:4, 2:6])


def test_names_that_would_meet_in_the_zip(predicted: Predicted, tmp_path: Path) -> None:
    rows = [{"object_id": name} for name in ("a/x.png", "a__x.png", "A__X.png")]
    exported(predicted(rows))
    with zipfile.ZipFile(tmp_path / "X.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith(".tsv")]
    assert names == ["a__x.png", "a__x~2.png", "A__X~3.png"]
    assert check_bundle(tmp_path / "X.zip").ok


@pytest.mark.parametrize("name", ["../up.png", "/root.png", "a\\b.png", "C:x.png", " x.png", "."])
def test_no_carried_name_leads_out_of_the_zip(
    predicted: Predicted, tmp_path: Path, name: str
) -> None:
    exported(predicted([{"object_id": "a.png"}], ecotaxa_id=["a"], img_file_name=[name]))
    assert zipfile.ZipFile(tmp_path / "X.zip").namelist()[0] == "a.png"


def test_what_was_carried_goes_back_and_people_keep_the_last_word(
    predicted: Predicted, tmp_path: Path
) -> None:
    path = predicted(
        THREE,
        ecotaxa_id=["o1", "o2", "o3"],
        img_file_name=["sub/1.png", "2.png", "3.png"],
        img_rank=["0", "0", "0"],
        object_area=["1.5", "", "NaN"],
        object_code=["007", "12", ""],
        object_time=["420", "90239", "08:28:00.000"],
        sample_id=["s", "s", "s"],
        object_annotation_hierarchy=["living>egg", "", "x>fiber"],
        true_label=["egg<other", "", ""],
        **PEOPLE,
    )
    result = exported(path)
    types, rows = types_of(tmp_path / "X.zip"), rows_of(tmp_path / "X.zip")
    assert [row["object_id"] for row in rows] == ["o1", "o2", "o3"]
    assert [row["img_file_name"] for row in rows] == ["sub/1.png", "2.png", "3.png"]
    assert [row["object_area"] for row in rows] == ["1.5", "", "NaN"]
    assert [row["object_code"] for row in rows] == ["007", "12", ""]
    assert [row["object_time"] for row in rows] == ["042000", "090239", "082800"]
    assert (types["object_area"], types["object_code"], types["img_rank"]) == ("[f]", "[t]", "[f]")
    assert [row["object_annotation_category"] for row in rows] == ["egg<other", "copepod", ""]
    assert [row["object_annotation_status"] for row in rows] == ["validated", "predicted", ""]
    assert [row["object_annotation_category_id"] for row in rows] == ["45072", "", ""]
    assert [row["object_annotation_person_name"] for row in rows] == ["Ann", "", ""]
    assert [row["object_annotation_date"] for row in rows] == ["20240715", "", ""]
    assert [row["object_da_label"] for row in rows] == ["copepod", "copepod", "medusa"]
    assert "object_annotation_hierarchy" not in types
    assert "acq_id" not in types
    assert any("1 image is of objects that people have validated" in n for n in result.notes)
    with zipfile.ZipFile(tmp_path / "X.zip") as archive:
        assert "sub/1.png" in archive.namelist()


def test_an_update_touches_nothing_else(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted(
        THREE,
        ecotaxa_id=["o1", "o2", "o3"],
        img_file_name=["1.png", "2.png", "3.png"],
        object_area=["1.5", "2", "3"],
        sample_id=["s", "s", "s"],
        **PEOPLE,
    )
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).unlink()  # an update needs no images
    result = exported(path, update_only=True)
    found = tables(tmp_path / "X.zip")
    assert zipfile.ZipFile(tmp_path / "X.zip").namelist() == list(found)
    assert list(found) == ["ecotaxa_X.tsv", "ecotaxa_X_scores.tsv"]
    model = "models:/zoo@champion sha256:0123456789ab"
    assert found["ecotaxa_X.tsv"][1:] == [
        {
            "object_id": "o2",
            "img_file_name": "2.png",
            "object_annotation_category": "copepod",
            "object_annotation_status": "predicted",
            "object_da_label": "copepod",
            "object_da_score": "0.75",
            "object_da_model": model,
        }
    ]
    # an empty cell would empty what is there, so these have no such columns
    assert [row["object_id"] for row in found["ecotaxa_X_scores.tsv"][1:]] == ["o1", "o3"]
    assert list(found["ecotaxa_X_scores.tsv"][0]) == [
        "object_id",
        "img_file_name",
        "object_da_label",
        "object_da_score",
        "object_da_model",
    ]
    assert result.rows == 3
    assert check_bundle(tmp_path / "X.zip", update_only=True).ok


def test_no_update_empties_a_cell(predicted: Predicted, tmp_path: Path) -> None:
    exported(predicted(THREE, run=None), update_only=True)
    for rows in tables(tmp_path / "X.zip").values():
        assert all(value for row in rows for value in row.values())


def test_an_object_with_several_images_gets_the_most_certain_prediction(
    predicted: Predicted, tmp_path: Path
) -> None:
    rows = [
        {"object_id": "o", "image": "1.png", "label": "copepod", "score": "0.5"},
        {"object_id": "o#2", "image": "2.png", "label": "medusa", "score": "0.9"},
        {"object_id": "p", "image": "3.png", "label": "copepod", "score": "0.4"},
    ]
    path = predicted(rows, ecotaxa_id=["o", "o", "p"], img_rank=["0", "1", "0"])
    exported(path)
    found = rows_of(tmp_path / "X.zip")
    assert [row["object_id"] for row in found] == ["o", "o", "p"]
    assert [row["object_annotation_category"] for row in found] == ["medusa", "medusa", "copepod"]
    assert [row["object_da_score"] for row in found] == ["0.9", "0.9", "0.4"]
    exported(path, update_only=True, overwrite=True)
    found = rows_of(tmp_path / "X.zip")
    assert [(r["object_id"], r["object_annotation_category"]) for r in found] == [
        ("o", "medusa"),
        ("p", "copepod"),
    ]


def test_samples_and_acquisitions_of_images_from_elsewhere(
    predicted: Predicted, tmp_path: Path
) -> None:
    exported(
        predicted(
            THREE,
            group=["bin1", "bin1", ""],
            time=["2016-07-14T02:39:10Z", "2016-07-14T02:39:10.25Z", "14.7.2016"],
            pixel_size_um=["0.294", "0.294", ""],
            volume_ml=["4.9", "4.9", ""],
        )
    )
    rows = rows_of(tmp_path / "X.zip")
    assert [row["object_date"] for row in rows] == ["20160714", "20160714", ""]
    assert [row["object_time"] for row in rows] == ["023910", "023910", ""]
    assert [row["acq_pixel_size_um"] for row in rows] == ["0.294", "0.294", ""]
    assert [row["acq_volume_ml"] for row in rows] == ["4.9", "4.9", ""]
    assert [row["sample_id"] for row in rows] == ["bin1", "bin1", ""]
    assert [row["acq_id"] for row in rows] == ["CAM1_bin1", "CAM1_bin1", "CAM1"]


def test_columns_of_other_cameras_become_free_ones(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted(
        THREE,
        group=["run1"] * 3,
        particle=["1", "2", "3"],
        ppc=["1", "", "2.5"],
        image_id=["007", "008", "009"],
        imaging_time=["12:00:01", "12:00:02", ""],
        abd_diameter_um=["", "", ""],
        true_label=["medusa", "", ""],
        label_2=["x", "x", "x"],
        score_2=["0.1"] * 3,
        p_copepod=["0.5"] * 3,
        split=["test"] * 3,
        **{"Area (µm²)": ["1", "2", "3"], "img_path": ["x", "y", "z"]},
    )
    result = exported(path)
    types, rows = types_of(tmp_path / "X.zip"), rows_of(tmp_path / "X.zip")
    assert [row["object_ppc"] for row in rows] == ["1", "", "2.5"]
    assert [row["object_image_id"] for row in rows] == ["007", "008", "009"]
    assert {n: k for n, k in types.items() if n.startswith("object_") and "_da_" not in n} == {
        "object_id": "[t]",
        "object_annotation_category": "[t]",
        "object_annotation_status": "[t]",
        "object_particle": "[f]",
        "object_ppc": "[f]",
        "object_image_id": "[t]",
        "object_imaging_time": "[t]",
        "object_true_label": "[t]",
        "object_area_µm²": "[f]",
        "object_img_path": "[t]",
    }
    assert not any("left out" in note for note in result.notes)
    assert check_bundle(tmp_path / "X.zip").ok


def test_no_column_takes_a_name_that_has_a_meaning(predicted: Predicted, tmp_path: Path) -> None:
    values = ["1", "2", "3"]
    names = ["id", "lat", "date", "annotation_category", "annotation_hierarchy", "da_score", "AREA"]
    others = dict.fromkeys([*names, "µ", "ppc", "PPC", "%"], values)
    result = exported(
        predicted(THREE, time=["today"] * 3, object_area=["7"] * 3, **others, **{"()": values})
    )
    found = rows_of(tmp_path / "X.zip")[0]
    assert found["object_id"] == "a.png"
    assert (found["object_area"], found["object_input_area"]) == ("7", "1")
    assert (found["object_da_score"], found["object_input_da_score"]) == ("0.75", "1")
    assert found["object_annotation_category"] == "copepod"
    for name in ("id", "lat", "date", "annotation_category", "annotation_hierarchy", "time", "ppc"):
        assert f"object_input_{name}" in found
    assert "object_lat" not in found
    assert result.notes[0] == "left out, since there is no name for it in EcoTaxa: '()'"
    assert check_bundle(tmp_path / "X.zip").ok


def test_what_ecotaxa_sets_itself_is_not_sent_but_named(
    predicted: Predicted, tmp_path: Path
) -> None:
    path = predicted(
        THREE,
        ecotaxa_id=["o1", "o2", "o3"],
        group=["s"] * 3,
        pixel_size_um=["10.6"] * 3,
        true_label=["egg<other", "", ""],
        sample_id=["s"] * 3,
        objid=["11", "12", "13"],
        object_annotation_hierarchy=["living>egg", "", "x>fiber"],
        cruise=["m106"] * 3,
        **PEOPLE,
    )
    result = exported(path)
    types = types_of(tmp_path / "X.zip")
    free = {name for name in types if "annotation" not in name and "_da_" not in name}
    assert free == {"object_id", "img_file_name", "sample_id", "object_cruise"}
    assert result.notes[0] == (
        "left out, since EcoTaxa sets it itself and an import cannot: objid, "
        "object_annotation_hierarchy"
    )
    updated = exported(path, update_only=True, overwrite=True)
    assert not any("objid" in note for note in updated.notes)


def test_names_and_numbers_of_taxa_by_a_label_map(predicted: Predicted, tmp_path: Path) -> None:
    (tmp_path / "T.csv").write_text(
        "label,class,category_id\ncopepod,Copepoda<Multicrustacea,25828\nmedusa,,\n"
    )
    rows = [{"object_id": "a.png"}, {"object_id": "b.png", "label": "medusa"}]
    exported(predicted(rows), taxonomy=tmp_path / "T.csv")
    first, second = rows_of(tmp_path / "X.zip")
    assert first["object_annotation_category"] == "Copepoda<Multicrustacea"
    assert first["object_annotation_category_id"] == "25828"
    assert second["object_annotation_category"] == second["object_annotation_status"] == ""
    assert (first["object_da_label"], second["object_da_label"]) == ("copepod", "medusa")


def test_a_number_that_was_carried_is_used_again(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted(
        [{"object_id": "a.png"}, {"object_id": "b.png"}],
        object_annotation_category=["copepod", "egg"],
        object_annotation_category_id=["25828", "1"],
        object_annotation_status=["predicted", "predicted"],
    )
    exported(path)
    assert [row["object_annotation_category_id"] for row in rows_of(tmp_path / "X.zip")] == [
        "25828",
        "25828",
    ]


def test_a_label_map_that_lacks_labels(predicted: Predicted, tmp_path: Path) -> None:
    (tmp_path / "T.csv").write_text("label,class\nmedusa,Hydrozoa\n")
    with pytest.raises(ManifestError, match=r"lacks 1 label\(s\) of the predictions: copepod"):
        exported(predicted(THREE), taxonomy=tmp_path / "T.csv")
    assert not (tmp_path / "X.zip").exists()


def test_values_that_the_importer_refuses(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted(
        THREE,
        object_lat=["100", "12.5", "43°30 0"],
        object_date=["1.1.2020", "2020-01-02", ""],
        object_remark=["x" * 300, "two\nlines", ""],
        object_empty=["", "", ""],
    )
    result = exported(path)
    rows = rows_of(tmp_path / "X.zip")
    assert [row["object_lat"] for row in rows] == ["", "12.5", "43.5000000"]
    assert [row["object_date"] for row in rows] == ["", "20200102", ""]
    assert [row["object_remark"] for row in rows] == ["x" * 250, "two lines", ""]
    assert "object_empty" not in rows[0]
    assert result.notes[:3] == [
        "object_lat: EcoTaxa refuses 1 value, left empty, such as '100'",
        "object_date: EcoTaxa refuses 1 value, left empty, such as '1.1.2020'",
        "object_remark: cut to 250 characters in 1 row",
    ]


def test_columns_beyond_the_limits_are_left_out_and_named(
    predicted: Predicted, tmp_path: Path
) -> None:
    texts = {f"object_t{n:02}": ["x", "y", "z"] for n in range(20)}
    result = exported(predicted(THREE, **texts))
    assert check_bundle(tmp_path / "X.zip").ok
    assert any(note.endswith(": object_t18, object_t19") for note in result.notes)


def test_an_acquisition_that_spans_samples_is_told_before_anything_is_there(
    predicted: Predicted, tmp_path: Path
) -> None:
    path = predicted(THREE, sample_id=["s", "t", "t"], acq_id=["q", "q", "q"])
    with pytest.raises(DataError, match=r"X\.zip!ecotaxa_X\.tsv.*an acquisition belongs to one"):
        exported(path)
    assert sorted(p.name for p in tmp_path.glob("*X*")) == []


@pytest.mark.parametrize(
    ("object_id", "words"),
    [
        ("x" * 251, "at most 250 characters"),
        (" a", "blanks at an end"),
        ("a\tb", "blanks at an end, or a tab"),
    ],
)
def test_ids_that_would_not_stay(
    predicted: Predicted, tmp_path: Path, object_id: str, words: str
) -> None:
    result = exported(
        predicted([{"object_id": "a.png"}, {"object_id": object_id, "image": "b.png"}])
    )
    assert result.rows == 1
    ((name, why),) = result.skipped
    assert name == object_id
    assert words in why


def test_parts_below_a_size_hold_all_rows_once(predicted: Predicted, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 500), dtype=np.uint8)
    for number in range(12):  # 0.2 MB each
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    result = exported(predicted([{"object_id": f"{n}.png"} for n in range(12)]), max_mb=1)
    names = ["X.zip", "X.part2.zip", "X.part3.zip"]
    assert [path.name for path in result.files] == names
    ids = []
    for path in result.files:
        assert path.stat().st_size <= 1_000_000
        assert check_bundle(path).ok
        ids += [row["object_id"] for row in rows_of(path)]
    assert ids == [f"{n}.png" for n in range(12)]
    assert list(tables(result.files[1])) == ["ecotaxa_X_2.tsv"]  # EcoTaxa knows tables by name


def test_nothing_is_overwritten_unasked(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted(THREE)
    for name in ("X.zip", "X.part2.zip"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputError, match=rf"{name}: exists already; add --overwrite"):
            exported(path)
        if name == "X.zip":
            (tmp_path / name).unlink()
    result = exported(path, overwrite=True)
    assert (tmp_path / "X.part2.zip").read_text() == "mine"
    assert f"{tmp_path / 'X.part2.zip'} is of an earlier export; this one has 1 part(s)" in (
        result.notes
    )


def test_the_same_rows_give_the_same_bytes(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted(THREE)
    exported(path)
    first = (tmp_path / "X.zip").read_bytes()
    exported(path, overwrite=True)
    assert (tmp_path / "X.zip").read_bytes() == first


def test_no_row_that_can_be_exported(predicted: Predicted, tmp_path: Path) -> None:
    path = predicted([{"object_id": "a", "error": "missing: no file a"}])
    with pytest.raises(DataError, match="no row can be exported\nnot exported: a: missing"):
        exported(path)
    path = predicted([{"object_id": "a.png"}])
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="no row can be exported"):
        exported(path)
    assert not (tmp_path / "X.zip").exists()


def test_a_name_that_is_no_zip(predicted: Predicted, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.zip"):
        export_predictions(predicted(THREE), "ecotaxa", tmp_path / "X.tsv")


def test_a_place_that_cannot_be_written(predicted: Predicted, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export_predictions(predicted(THREE), "ecotaxa", tmp_path / "file" / "X.zip")


def test_a_picture_of_a_roi_beside_its_bin_is_no_second_object(
    predicted: Predicted, tmp_path: Path
) -> None:
    bin_ = "D20160714T023910_IFCB101"
    pictures = draw_pictures(2, seed=0)
    write_bin(tmp_path, bin_, pictures)
    Image.fromarray(pictures[1]).save(tmp_path / f"{bin_}_00002.png")
    rows = [f"{bin_}.roi#1", f"{bin_}.roi#2", f"{bin_}_00002.png"]
    result = exported(predicted([{"object_id": name, "image": name} for name in rows]))
    assert (result.rows, [name for name, _ in result.skipped]) == (2, rows[2:])
    assert [row["object_id"] for row in rows_of(tmp_path / "X.zip")] == rows[:2]
