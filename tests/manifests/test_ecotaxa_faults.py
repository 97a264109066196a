"""EcoTaxa tables with faults: what is read of them, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plankton_da.errors import ManifestError
from plankton_da.manifests.ingest import IngestOptions, IngestResult
from plankton_da.manifests.ingest.ecotaxa import build

Write = Callable[[str], Path]


def built(path: Path, **options: bool) -> IngestResult:
    return build([path], "CAM", path.parent / "m.csv", IngestOptions(**options))  # type: ignore[arg-type]


FAULTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "carriage_returns": (["good"], {}),
    "short_row": (["good"], {}),
    "long_row": (["good", "second"], {":4": "the row has 5 cells, but the table 4 columns"}),
    "two_of_four": (["good", "x"], {":5": "the row has 1 cells, but the table 4 columns"}),
    "twice": (["good"], {":4": "object_id and img_file_name are those of "}),
    "bad_status": (["good"], {}),
    "no_id": (["good"], {":3": "object_id is empty"}),
    "no_image": (
        ["good"],
        {":3: gone.png": "no such image beside the table", ":4": "img_file_name is empty"},
    ),
    "open_quote": (["good"], {":3": "a quotation mark is not closed"}),
    "utf16": (["Müll"], {}),
    "latin1": (["Müll"], {}),
    "utf8": (["Müll"], {}),
}
"""name -> ids of the rows that are read, and what is said of the others"""

UNREADABLE = {
    "header_only": "has a header but no rows",
    "empty": "is empty",
    "no_columns": "line 1: no column img_file_name and no column object_id",
    "damaged_utf16": "is not the utf-16 that it begins as",
    "binary": "no column img_file_name",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_row_is_named_and_the_rest_is_read(write: Write, name: str) -> None:
    ids, expected = FAULTS[name]
    file = write("faulty") / name / f"ecotaxa_{name}.tsv"
    result = built(file)
    assert result.table["object_id"].tolist() == ids
    assert {place.removeprefix(str(file)) for place, _ in result.failed} == set(expected)
    for place, why in result.failed:
        assert why.startswith(expected[place.removeprefix(str(file))])


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_table_that_is_none_is_named_with_the_reason(write: Write, name: str) -> None:
    file = write("faulty") / name / f"ecotaxa_{name}.tsv"
    with pytest.raises(ManifestError) as caught:
        built(file)
    assert f"{file}: " in str(caught.value)
    assert UNREADABLE[name] in str(caught.value)


def test_one_bad_table_does_not_cost_the_others(write: Write, tmp_path: Path) -> None:
    result = built(write("faulty"))
    assert {"good", "second", "x", "Müll"} == set(result.table["object_id"])
    unreadable = {place for place, _ in result.failed if place.endswith(".tsv")}
    assert {Path(place).parent.name for place in unreadable} == set(UNREADABLE)


def test_what_was_read_of_a_short_row_and_a_bad_status_is_said(write: Write) -> None:
    folder = write("faulty")
    (short,) = [r for r in built(folder / "short_row").remarks if "end early" in r]
    assert short.endswith("(line 3)")
    status = built(folder / "bad_status", all_labels=True)
    assert status.table["object_annotation_status"].tolist() == ["predit"]
