"""What holds of every format, and the options of ``manifest build``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from plankton_da.errors import UsageError
from plankton_da.manifests.columns import REQUIRED
from plankton_da.manifests.ingest import INGESTS, IngestOptions, build_manifest, describe_ingests
from plankton_da.manifests.ingest.options import FLAGS, parse_columns, refuse_unknown_columns

SOMETHING: dict[str, object] = {
    "labelled": False,
    "labels": Path("labels.csv"),
    "columns": {"image": "path"},
    "all_labels": True,
}
"""a value of each option that is not its default"""


@pytest.mark.parametrize("name", INGESTS)
def test_every_format_says_what_it_reads_and_fills(name: str) -> None:
    ingest = INGESTS[name]
    assert ingest.SUMMARY
    assert "\n" not in ingest.SUMMARY
    assert set(REQUIRED) <= set(ingest.COLUMNS)
    assert len(set(ingest.COLUMNS)) == len(ingest.COLUMNS)
    assert ingest.OPTIONS.issubset(FLAGS)


def test_every_option_has_a_flag() -> None:
    assert list(FLAGS) == [each.name for each in fields(IngestOptions)]
    assert set(SOMETHING) == set(FLAGS)


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name in INGESTS for option in FLAGS if option not in INGESTS[name].OPTIONS],
)
def test_an_option_that_a_format_does_not_know_is_refused(
    name: str, option: str, tmp_path: Path
) -> None:
    options = IngestOptions(**{option: SOMETHING[option]})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"{name} does not know {FLAGS[option]}"):
        build_manifest(name, [tmp_path], "CAM", tmp_path / "m.csv", options=options)


def test_the_list_names_options_as_the_command_line_does() -> None:
    (folders,) = [each for each in describe_ingests() if each["name"] == "folders"]
    assert folders["columns"] == ["object_id", "image", "instrument", "label"]
    assert folders["options"] == ["--unlabelled"]


def test_columns_are_pairs() -> None:
    assert parse_columns(["image=path", "label=a=b"]) == {"image": "path", "label": "a=b"}
    for wrong in ("image", "image=", "=path"):
        with pytest.raises(UsageError, match="expected MANIFEST_COLUMN=TABLE_COLUMN"):
            parse_columns([wrong])
    with pytest.raises(UsageError, match="image is given twice"):
        parse_columns(["image=a", "image=b"])


def test_columns_that_the_table_lacks_are_named() -> None:
    refuse_unknown_columns({"image": "path"}, ["path", "class"], "t.csv")
    with pytest.raises(UsageError, match=r"t\.csv.*'pth'.*did you mean path.*it has path, class"):
        refuse_unknown_columns({"image": "pth"}, ["path", "class"], "t.csv")
