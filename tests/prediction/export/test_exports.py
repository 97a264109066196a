"""What holds of every export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from plankton_da.errors import UsageError
from plankton_da.prediction.export import (
    EXPORTS,
    ExportOptions,
    describe_exports,
    export_predictions,
)
from plankton_da.prediction.export.options import FOR_ALL

Predicted = Callable[..., Path]

ASKED: dict[str, object] = {
    "columns": ("label",),
    "taxonomy": Path("T.csv"),
    "update_only": True,
    "max_mb": 7,
}


@pytest.mark.parametrize("name", EXPORTS)
def test_a_summary_in_one_line_and_options_that_there_are(name: str) -> None:
    export = EXPORTS[name]
    assert 20 < len(export.SUMMARY) < 100
    assert "\n" not in export.SUMMARY
    assert export.OPTIONS.issubset({field.name for field in fields(ExportOptions)} - FOR_ALL)


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("option", ASKED)
def test_an_option_that_would_be_ignored_is_refused(
    predicted: Predicted, tmp_path: Path, name: str, option: str
) -> None:
    if option in EXPORTS[name].OPTIONS:
        return
    options = ExportOptions(**{option: ASKED[option]})  # type: ignore[arg-type]
    path = predicted([{"object_id": "a.png"}])
    with pytest.raises(UsageError, match=f"takes no --{option.replace('_', '-')}"):
        export_predictions(path, name, tmp_path / "out", options)


def test_an_unknown_format(predicted: Predicted, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no format 'ecotax'.*did you mean ecotaxa"):
        export_predictions(predicted([{"object_id": "a.png"}]), "ecotax", tmp_path / "x.zip")


@pytest.mark.parametrize("name", EXPORTS)
def test_the_predictions_are_never_written_over(
    predicted: Predicted, tmp_path: Path, name: str
) -> None:
    path = predicted([{"object_id": "a.png"}])
    before = path.read_bytes()
    (tmp_path / "link.csv").symlink_to(path)
    for out in (path, tmp_path / "link.csv"):
        with pytest.raises(UsageError, match="is the predictions file itself"):
            export_predictions(path, name, out, ExportOptions(overwrite=True))
    assert path.read_bytes() == before


def test_the_list_says_the_options_as_they_are_typed() -> None:
    described = {str(each["name"]): each for each in describe_exports()}
    assert list(described) == list(EXPORTS)
    assert described["ecotaxa"]["options"] == ["--max-mb", "--taxonomy", "--update-only"]
