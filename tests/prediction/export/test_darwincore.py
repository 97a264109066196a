"""Occurrence tables in Darwin Core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_da.errors import DataError, ManifestError, OutputError, UsageError
from plankton_da.prediction.export import ExportOptions, Predictions, darwincore
from plankton_da.prediction.predictions import prediction_rows

CLASSES = ["copepod", "detritus", "Ceratium fürca"]
RUN = {
    "bundle": "models:/plankton/3",
    "options": {"model": "ab" * 32},
    "runs": [{"started": "2026-11-24T10:00:00+00:00", "versions": {"plankton-da": "0.1.0"}}],
}
TAXA = (
    "label,class,aphia_id,taxonRank\n"
    "copepod,Copepoda,1080,Class\ndetritus,,,\nCeratium fürca,Tripos furca,840626,Species\n"
)


def predicted(ids: list[str], classes: list[str], **columns: list[str]) -> Predictions:
    """Row k is of class k."""
    scores = np.full((len(ids), len(classes)), 0.1, dtype=np.float32)
    scores[np.arange(len(ids)), np.arange(len(ids)) % len(classes)] = 0.7
    images = columns.pop("image", [f"{name}.png" for name in ids])
    table = prediction_rows(ids, images, ["I"] * len(ids), scores, [""] * len(ids), classes, {})
    return Predictions(table.assign(**columns), Path("x"), Path("x/P.csv"), RUN)


def written(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_the_terms_of_machine_observations(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TAXA, encoding="utf-8")
    out = tmp_path / "occurrence.csv"
    options = ExportOptions(taxonomy=tmp_path / "t.csv")
    result = darwincore.write(predicted(["1", "2", "3"], CLASSES), out, options)
    table = written(out)
    assert (result.rows, result.skipped) == (2, [])
    assert table["occurrenceID"].tolist() == ["I:1", "I:3"]
    assert table["scientificName"].tolist() == ["Copepoda", "Tripos furca"]
    assert table["scientificNameID"][0] == "urn:lsid:marinespecies.org:taxname:1080"
    assert table["taxonRank"].tolist() == ["Class", "Species"]
    assert table["verbatimIdentification"].tolist() == ["copepod", "Ceratium fürca"]
    assert set(table["basisOfRecord"]) == {"MachineObservation"}
    assert set(table["occurrenceStatus"]) == {"present"}
    assert set(table["identificationVerificationStatus"]) == {"PredictedByMachine"}
    reference = f"plankton_da 0.1.0, model models:/plankton/3, sha256 {'ab' * 32}"
    assert set(table["identificationReferences"]) == {reference}
    assert table["dateIdentified"][0] == "2026-11-24T10:00:00+00:00"
    assert table["identificationRemarks"][0] == "classification score 0.7"
    assert result.notes[0] == "no name in the taxonomy, so no occurrences: detritus (1)"
    assert "OBIS requires eventDate, decimalLatitude, decimalLongitude" in result.notes[1]


def test_when_and_where_of_what_ecotaxa_carries(tmp_path: Path) -> None:
    predictions = predicted(
        ["1", "2", "3"],
        CLASSES,
        object_date=["20140421", "20140421", "99999999"],
        object_time=["420", "", "000000"],
        object_lat=["43.685", "43°30 0", "143"],
        object_lon=["-7.3", "7.3", "7.3"],
        object_depth_min=["0", "10.5", "deep"],
        object_depth_max=["5", "", ""],
        sample_id=["s1", "s1", "s2"],
        licence=["CC BY 4.0", "", ""],
    )
    result = darwincore.write(predictions, tmp_path / "o.csv", ExportOptions())
    table = written(tmp_path / "o.csv")
    assert table["eventDate"].tolist() == ["2014-04-21T04:20:00Z", "2014-04-21", ""]
    assert table["decimalLatitude"].tolist() == ["43.685", "43.5", ""]
    assert table["decimalLongitude"].tolist() == ["-7.3", "7.3", "7.3"]
    assert table["minimumDepthInMeters"].tolist() == ["0", "10.5", ""]
    assert table["eventID"].tolist() == ["s1", "s1", "s2"]
    assert table["license"].tolist() == ["CC BY 4.0", "", ""]
    assert result.notes[:3] == [
        "eventDate: no times in 1 row, such as '99999999'; left empty",
        "decimalLatitude: no degrees from -90 to 90 in 1 row, such as '143'; left empty",
        "depth: no metres from 0 to 11,000 in 1 row, such as 'deep'; left empty",
    ]


def test_numbers_that_stand_for_unknown_are_not_published(tmp_path: Path) -> None:
    predictions = predicted(
        list("12345"),
        ["copepod"],
        object_date=["20140421"] * 5,
        object_lat=["0", "0.0", "0", "0.5", "-0.0"],
        object_lon=["0", "-0.0", "7.3", "0", "180.01"],
        object_depth_min=["99999", "10", "0", "-1", "11000"],
        object_depth_max=["99999.0", "99999", "11000.5", "0", ""],
        sample_id=["0"] * 5,
    )
    result = darwincore.write(predictions, tmp_path / "o.csv", ExportOptions())
    table = written(tmp_path / "o.csv")
    assert table["decimalLatitude"].tolist() == ["", "", "0", "0.5", "0"]
    assert table["decimalLongitude"].tolist() == ["", "", "7.3", "0", ""]
    assert table["minimumDepthInMeters"].tolist() == ["", "10", "0", "", "11000"]
    assert table["maximumDepthInMeters"].tolist() == ["", "", "", "0", ""]
    assert table["eventID"].tolist() == ["0"] * 5
    shown = "'99999', '11000.5', '-1'"
    assert result.notes[:3] == [
        "decimalLongitude: no degrees from -180 to 180 in 1 row, such as '180.01'; left empty",
        "latitude and longitude are both 0, which stands for unknown, in 2 rows; left empty",
        f"depth: no metres from 0 to 11,000 in 4 rows, such as {shown}; left empty",
    ]
    assert "OBIS requires decimalLatitude, decimalLongitude, which rows lack" in result.notes[-1]


def test_when_of_ifcb_bins_and_columns_that_say_it(tmp_path: Path) -> None:
    bins = ["D20160714T023910_IFCB101", "IFCB5_2012_028_081515"]
    predictions = predicted(
        [f"{bins[0]}_00002", "x", "y"],
        CLASSES,
        image=["a.png", f"{bins[1]}.roi#3", "https://example.org/1.png"],
        time=["", "", "2020-01-02T03:04:05Z"],
    )
    darwincore.write(predictions, tmp_path / "o.csv", ExportOptions())
    table = written(tmp_path / "o.csv")
    assert table["eventDate"].tolist() == [
        "2016-07-14T02:39:10Z",
        "2012-01-28T08:15:15Z",
        "2020-01-02T03:04:05Z",
    ]
    assert table["eventID"].tolist() == [*bins, ""]
    assert table["associatedMedia"].tolist() == ["", "", "https://example.org/1.png"]


def test_what_is_no_occurrence(tmp_path: Path) -> None:
    predictions = predicted(["1", "2"], CLASSES)
    table = predictions.table
    table.loc[0, "label"] = "unclassified"
    table.loc[1, ["label", "error"]] = ["", "truncated: cut"]
    table.loc[2] = table.loc[0].replace({"1": "3"})
    table.loc[2, "label"] = "copepod"
    result = darwincore.write(predictions, tmp_path / "o.csv", ExportOptions())
    assert result.rows == 1
    assert result.skipped == [("2", "truncated: cut")]
    assert result.notes[0] == "unclassified, so no occurrences: 1 row"
    assert "give --taxonomy" in result.notes[1]


def test_images_of_one_object_are_one_occurrence(tmp_path: Path) -> None:
    predictions = predicted(
        ["o", "p", "o#2", "q"],
        CLASSES,
        image=[
            "https://x.org/1.png",
            "b.png",
            "https://x.org/3.png",
            "IFCB5_2012_028_081515.roi#3",
        ],
        ecotaxa_id=["o", "p", "o", "q"],
    )
    predictions.table.loc[2, "raw_score"] = predictions.table.loc[2, "score"] = np.float32(0.9)
    result = darwincore.write(predictions, tmp_path / "o.csv", ExportOptions())
    table = written(tmp_path / "o.csv")
    assert result.rows == len(table) == 3
    assert table["occurrenceID"].tolist() == ["I:o", "I:p", "I:q"]
    assert table["catalogNumber"].tolist() == ["o", "p", "q"]
    assert table["scientificName"].tolist() == ["Ceratium fürca", "detritus", "copepod"]
    assert table["identificationRemarks"][0] == "classification score 0.9"
    assert table["associatedMedia"].tolist() == [
        "https://x.org/1.png | https://x.org/3.png",
        "",
        "",
    ]
    assert table["eventID"].tolist() == ["", "", "IFCB5_2012_028_081515"]
    assert result.notes[0].startswith("1 row of further images of an object merged")


@pytest.mark.parametrize("image", ["1.png", "https://x.org/1.png"])
def test_the_same_id_of_two_cameras_is_two_objects(tmp_path: Path, image: str) -> None:
    predictions = predicted(["o", "o#2"], CLASSES, image=[image] * 2, ecotaxa_id=["o", "o"])
    predictions.table["instrument"] = ["I", "J"]
    assert darwincore.write(predictions, tmp_path / "o.csv", ExportOptions()).rows == 2


def test_names_that_are_none_of_taxa_are_warned_of(tmp_path: Path) -> None:
    names = ["detritus_snow", "Air bubbles", "Snowella", "Not-living", "Ceratium furca"]
    result = darwincore.write(predicted(list("12345"), names), tmp_path / "o.csv", ExportOptions())
    assert result.rows == 5
    (warning,) = [note for note in result.notes if note.startswith("warning: ")]
    assert (
        "names of taxa: detritus_snow (1), Air bubbles (1), Not-living (1); give --taxonomy T.csv"
        in warning
    )


def test_what_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "o.csv"
    (tmp_path / "t.csv").write_text("label,class\ncopepod,Copepoda\n")
    options = ExportOptions(taxonomy=tmp_path / "t.csv")
    with pytest.raises(ManifestError, match="lacks 1 label"):
        darwincore.write(predicted(["1", "2"], CLASSES), out, options)
    (tmp_path / "t.csv").write_text("label,class\ncopepod,\n")
    with pytest.raises(DataError, match=r"no row remains: no name .* copepod \(1\)"):
        darwincore.write(predicted(["1"], CLASSES), out, options)
    with pytest.raises(UsageError, match=r"ends in \.csv"):
        darwincore.write(predicted(["1"], CLASSES), tmp_path / "o.zip", ExportOptions())
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        darwincore.write(predicted(["1"], CLASSES), out, ExportOptions())
    assert out.read_text() == "mine"


_NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids=st.lists(_NAMES, min_size=1, max_size=6, unique=True),
    classes=st.lists(_NAMES, min_size=1, max_size=4, unique=True),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], classes: list[str]
) -> None:
    predictions = predicted(ids, classes)
    path = tmp_path_factory.mktemp("out") / "o.csv"
    darwincore.write(predictions, path, ExportOptions())
    table = written(path)
    assert table["catalogNumber"].tolist() == ids
    assert table["verbatimIdentification"].tolist() == predictions.table["label"].tolist()
    scores = table["identificationRemarks"].str.removeprefix(darwincore.SCORE_WORDS)
    assert scores.astype(np.float32).tolist() == predictions.table["score"].tolist()


def test_a_picture_of_a_roi_beside_its_bin_is_no_second_organism(tmp_path: Path) -> None:
    bin_ = "D20160714T023910_IFCB101"
    images = [f"{bin_}.roi#2", f"{bin_}_00002.png", f"{bin_}_00009.png"]
    predictions = predicted(["a", "b", "c"], ["copepod"], image=images)
    result = darwincore.write(predictions, tmp_path / "o.csv", ExportOptions())
    assert written(tmp_path / "o.csv")["catalogNumber"].tolist() == ["a", "c"]
    why = f"a picture of {bin_}.roi#2, which is classified from the bin itself"
    assert result.skipped == [("b", why)]
