"""What is exported to EcoTaxa and built into a manifest again is the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from plankton_da.images.refs import open_image
from plankton_da.manifests.columns import column_of
from plankton_da.manifests.ecotaxa_check import check_bundle
from plankton_da.manifests.ecotaxa_values import degrees, time_text
from plankton_da.manifests.ingest import IngestOptions, build_manifest
from plankton_da.manifests.table import read_manifest, write_manifest
from plankton_da.prediction.export import ExportOptions, export_predictions
from plankton_da.prediction.export.reading import score_text
from plankton_da.prediction.sources import carried_columns

WORDS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12
).filter(lambda text: text == text.strip())
SCORES = st.floats(0, 1, width=32)


@settings(max_examples=20, deadline=None)
@example([("007", "NA", 0.1), ("nan", "nan", 1e-05), ('"a', 'x"y', 1.0)])
@given(
    st.lists(
        st.tuples(WORDS, WORDS.filter(lambda text: text != "unclassified"), SCORES),
        min_size=1,
        max_size=6,
        unique_by=lambda row: row[0],
    )
)
def test_ids_labels_and_scores(rows: list[tuple[str, str, float]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(len(rows)):
            Image.new("L", (5, 4), number).save(folder / f"{number}.png")
        ids, labels, scores = map(list, zip(*rows, strict=True))
        floats = pd.Series(scores, dtype="float32")
        table = pd.DataFrame({"object_id": ids}).assign(
            image=[f"{number}.png" for number in range(len(rows))],
            instrument="CAM1",
            label=labels,
            score=score_text(floats),
            raw_label=labels,
            raw_score=score_text(floats),
            error="",
        )
        write_manifest(table, folder / "P.csv")
        result = export_predictions(folder / "P.csv", "ecotaxa", folder / "X.zip")
        assert (result.rows, result.skipped) == (len(rows), [])
        assert check_bundle(folder / "X.zip").ok
        options = IngestOptions(all_labels=True)
        build_manifest("ecotaxa", [folder / "X.zip"], "CAM1", folder / "M.csv", options=options)
        again = read_manifest(folder / "M.csv").table
        assert again["object_id"].tolist() == ids
        assert again["label"].tolist() == labels
        assert np.array_equal(again["object_da_score"].astype("float32"), floats)
        for number, ref in enumerate(again["image"]):
            assert open_image(ref, folder).getpixel((0, 0)) == number


def predictions_of(manifest: Path, out: Path) -> None:
    """A predictions file of a manifest, as ``classify`` would write it."""
    table = read_manifest(manifest).table
    carried = {ours: table[theirs] for ours, theirs in carried_columns(list(table.columns)).items()}
    predicted = table[["object_id", "image", "instrument"]].assign(
        label="copepod", score="0.5", raw_label="copepod", raw_score="0.5", error="", **carried
    )
    write_manifest(predicted, out)


REAL = ["epson/import_test.zip", "uvp6/UVP6_example.zip", "zooscan/export_13539_20240728_0803.zip"]


@pytest.mark.parametrize("name", REAL)
def test_real_bundles_come_back_with_their_columns(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    source = shared_data / "formats" / "ecotaxa" / name
    options = IngestOptions(all_labels=True)
    build_manifest("ecotaxa", [source], "CAM", tmp_path / "M.csv", options=options)
    predictions_of(tmp_path / "M.csv", tmp_path / "P.csv")
    result = export_predictions(tmp_path / "P.csv", "ecotaxa", tmp_path / "X.zip")
    assert result.skipped == []
    assert check_bundle(tmp_path / "X.zip").ok
    build_manifest("ecotaxa", [tmp_path / "X.zip"], "CAM", tmp_path / "N.csv", options=options)
    before, after = (read_manifest(tmp_path / f"{m}.csv").table for m in "MN")
    for column, meaning in (("object_time", time_text), ("object_lat", degrees)):
        assert list(map(meaning, after[column])) == list(map(meaning, before[column]))
    changed = {"image", "label", "object_time", "object_lat", "object_lon"}
    changed |= {column for column in before if column.startswith("object_annotation_")}
    for column in set(before) - changed:
        # a free column that is empty throughout has nothing to bring back
        assert column_of(after, column).tolist() == before[column].tolist(), column
    for ours, theirs in zip(after["image"], before["image"], strict=True):
        mine, other = (open_image(ref, tmp_path) for ref in (ours, theirs))
        assert np.array_equal(np.asarray(mine), np.asarray(other))


@pytest.mark.parametrize("name", REAL)
def test_an_update_of_a_real_bundle_names_the_same_objects(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    source = shared_data / "formats" / "ecotaxa" / name
    build_manifest("ecotaxa", [source], "CAM", tmp_path / "M.csv")
    predictions_of(tmp_path / "M.csv", tmp_path / "P.csv")
    options = ExportOptions(update_only=True)
    result = export_predictions(tmp_path / "P.csv", "ecotaxa", tmp_path / "U.zip", options)
    report = check_bundle(tmp_path / "U.zip", update_only=True)
    assert (report.ok, report.rows) == (True, result.rows)
    objects = read_manifest(tmp_path / "M.csv").table["ecotaxa_id"]
    assert report.rows == objects.nunique()


@pytest.mark.parametrize(
    ("ingest", "name"),
    [("flowcam", "flowcam/pygsuia_2024-04-08"), ("ifcb", "ifcb/v2"), ("ifcb", "ifcb/v1")],
)
def test_columns_of_other_cameras_come_back(
    shared_data: Path, tmp_path: Path, ingest: str, name: str
) -> None:
    build_manifest(ingest, [shared_data / "formats" / name], "CAM", tmp_path / "M.csv")
    predictions_of(tmp_path / "M.csv", tmp_path / "P.csv")
    export_predictions(tmp_path / "P.csv", "ecotaxa", tmp_path / "X.zip")
    assert check_bundle(tmp_path / "X.zip").ok
    build_manifest("ecotaxa", [tmp_path / "X.zip"], "CAM", tmp_path / "N.csv")
    before, after = (read_manifest(tmp_path / f"{m}.csv").table for m in "MN")
    elsewhere = {"group": "sample_id", "pixel_size_um": "acq_pixel_size_um", "instrument": None}
    elsewhere |= {
        "volume_ml": "acq_volume_ml",
        "image": None,
        "object_id": "object_id",
        "time": None,
    }
    for column in before:
        place = elsewhere.get(column, f"object_{column}")
        if place is not None and (before[column] != "").any():
            assert after[place].tolist() == before[column].tolist(), column
