"""The rules of EcoTaxa's importer on bundles that were published: which pass, and why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from plankton_da.manifests.ecotaxa_check import check_bundle

REAL_GOOD = [
    ("epson/import_test.zip", False, 2, 8),
    ("uvp6/UVP6_example.zip", False, 1, 15),
    ("uvp6/b_da_19_Images.zip", False, 1, 15),
    ("zooscan/export_13539_20240728_0803.zip", False, 1, 437),
    # published without their images
    ("minimum", True, 1, 3),
    ("uvp5", True, 1, 9),
    ("ifcb/example_table_ifcb.tsv", True, 1, 2),
    ("zooscan/ecotaxa_13892_13563.tsv", True, 1, 1),
    ("zooscan/ecotaxa_table_without_classification.tsv", True, 1, 7),
]


@pytest.mark.parametrize(("name", "update_only", "tables", "rows"), REAL_GOOD)
def test_good_real_bundles_pass(
    shared_data: Path, name: str, update_only: bool, tables: int, rows: int
) -> None:
    path = shared_data / "formats" / "ecotaxa" / name
    report = check_bundle(path, update_only=update_only)
    assert (report.problems.totals, report.tables, report.rows) == ({}, tables, rows)


REAL_BAD = {
    "issues/ambiguous_category": {"ambiguous_category": 1, "missing_image": 5},
    "issues/classif_without_state": {"category_without_status": 1},
    "issues/duplicate_in_tsv": {"duplicate_image": 1},
    "issues/empty_tsv": {"empty": 1},
    "issues/empty_tsv2": {"empty": 1},
    "issues/extra_data_without_header": {"long_row": 1},
    "issues/tsv_issues": {
        "column_name": 1,
        "column_prefix": 1,
        "column_type": 1,
        "not_a_number": 1,
        "degrees": 2,
        "date": 2,
        "time": 2,
        "status": 1,
        "missing_image": 2,
        "not_an_image": 1,
        "empty_value": 1,
    },
    "loki": {"unreadable": 2, "truncated": 1, "missing_image": 1},
    # made to be cited, not to be imported: its first row would be taken for the types
    "export_doi": {"no_type_row": 1},
}


@pytest.mark.parametrize(("name", "found"), REAL_BAD.items(), ids=REAL_BAD.keys())
def test_bad_real_bundles_are_refused_for_the_right_reason(
    shared_data: Path, name: str, found: dict[str, int]
) -> None:
    report = check_bundle(shared_data / "formats" / "ecotaxa" / name)
    assert report.problems.totals == found
