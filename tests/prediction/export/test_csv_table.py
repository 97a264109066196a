"""The plain table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plankton_da.errors import OutputError, UsageError
from plankton_da.images.refs import open_image
from plankton_da.prediction.export import ExportOptions, export_predictions, read_predictions

Predicted = Callable[..., Path]

ROWS = [
    {"object_id": "in/a.png", "score": "0.99999994"},
    {"object_id": "007", "image": "in/b.png", "label": "NA", "score": "1e-05"},
    {"object_id": 'x,"y"', "image": "gone.png", "error": "missing: no file gone.png"},
]


def test_every_row_in_order_with_every_digit(predicted: Predicted, tmp_path: Path) -> None:
    result = export_predictions(predicted(ROWS), "csv", tmp_path / "Q.csv")
    assert (result.rows, result.skipped, result.files) == (3, [], [tmp_path / "Q.csv"])
    assert (tmp_path / "Q.csv").read_text() == (tmp_path / "P.csv").read_text()


def test_columns_of_choice_in_their_order(predicted: Predicted, tmp_path: Path) -> None:
    options = ExportOptions(columns=("score", "object_id"))
    export_predictions(predicted(ROWS), "csv", tmp_path / "Q.csv", options)
    assert (tmp_path / "Q.csv").read_text() == (
        'score,object_id\n0.99999994,in/a.png\n1e-05,007\n,"x,""y"""\n'
    )


def test_refs_are_relative_to_the_new_file(predicted: Predicted, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "Q.csv"
    export_predictions(predicted(ROWS), "csv", out)
    table = read_predictions(out).table
    assert table["image"].iloc[0] == "../../in/a.png"
    assert open_image(table["image"].iloc[0], out.parent).size[0] > 0


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("scor", "label"), "no column 'scor'; did you mean"),
        (("label", "label"), "label more than once"),
    ],
)
def test_columns_that_cannot_be(
    predicted: Predicted, tmp_path: Path, columns: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        export_predictions(
            predicted(ROWS), "csv", tmp_path / "Q.csv", ExportOptions(columns=columns)
        )
    assert not (tmp_path / "Q.csv").exists()


def test_a_name_that_is_no_csv(predicted: Predicted, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.csv"):
        export_predictions(predicted(ROWS), "csv", tmp_path / "Q.xlsx")


def test_nothing_is_overwritten_unasked(predicted: Predicted, tmp_path: Path) -> None:
    out = tmp_path / "Q.csv"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already; add --overwrite"):
        export_predictions(predicted(ROWS), "csv", out)
    assert out.read_text() == "mine"
    export_predictions(predicted(ROWS), "csv", out, ExportOptions(overwrite=True))
    assert out.read_text() != "mine"
