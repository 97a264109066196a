from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plankton_da.evaluation.metrics import score
from plankton_da.evaluation.report.confusion import draw_confusion
from plankton_da.evaluation.report.examples import draw_examples
from plankton_da.evaluation.report.text import format_failures, format_scores


def _pixels(png: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(np.int64)


def _darkest_blue(png: bytes) -> int:
    """Pixels of the colour map's end, where a class has all its images."""
    return int((abs(_pixels(png) - [8, 48, 107]).sum(axis=2) < 6).sum())


def test_confusion_shades_the_share_of_the_true_class() -> None:
    names = ["a", "b", "c"]
    diagonal = draw_confusion([[900, 0, 0], [0, 3, 0], [0, 0, 40]], names, "t")
    spread = draw_confusion([[300, 300, 300], [1, 1, 1], [10, 10, 10]], names, "t")
    assert _darkest_blue(diagonal) > 3 * 1000
    assert _darkest_blue(spread) < 1000  # the bar beside it alone


def test_confusion_is_the_same_each_time() -> None:
    draw = draw_confusion, ([[1, 2], [3, 4]], ["a", "b"], "title")
    assert draw[0](*draw[1]) == draw[0](*draw[1])


def test_confusion_of_names_that_look_like_formulas_and_of_an_absent_class() -> None:
    names = ["a$b", "c_d$", "<e> & f", "ü"]
    png = draw_confusion(np.diag([1, 2, 0, 4]), names, "100 $ of $ x_{")
    assert _pixels(png).shape[2] == 3


def test_confusion_of_many_classes_stays_a_picture_of_bounded_size() -> None:
    png = draw_confusion(np.eye(70, dtype=int), [f"class {k}" for k in range(70)], "t")
    assert max(_pixels(png).shape) < 3100


@pytest.mark.parametrize("matrix", [np.eye(3), np.ones((2, 3)), np.ones(2)])
def test_confusion_that_does_not_fit_its_classes(matrix: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a \(2, 2\) matrix"):
        draw_confusion(matrix, ["a", "b"], "t")


@pytest.mark.parametrize("channels", [1, 3])
def test_examples_show_the_pixels(channels: int) -> None:
    images = np.full((3, 16, 16, channels), 255, np.uint8)
    images[1] = 77
    picture = _pixels(draw_examples(images, ["a"] * 3, ["a"] * 3, [0.5] * 3, "t"))
    assert (abs(picture - 77).sum(axis=2) == 0).sum() > 2000


@pytest.mark.parametrize(
    ("label", "predicted", "red", "green"),
    [("a", "a", False, True), ("a", "b", True, False), ("", "b", False, False)],
)
def test_examples_colour_right_and_wrong(
    label: str, predicted: str, red: bool, green: bool
) -> None:
    white = np.full((1, 16, 16, 1), 255, np.uint8)
    picture = _pixels(draw_examples(white, [label], [predicted], [0.5], "t"))
    redness = picture[..., 0] - picture[..., 1]
    assert (redness.max() > 40) == red
    assert (redness.min() < -40) == green


def test_examples_none_at_all() -> None:
    assert _pixels(draw_examples(np.zeros((0, 8, 8, 1), np.uint8), [], [], [], "none")).size


def test_examples_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="uint8"):
        draw_examples(np.zeros((1, 8, 8, 1), np.float32), ["a"], ["a"], [1.0], "t")
    with pytest.raises(ValueError, match="as many"):
        draw_examples(np.zeros((2, 8, 8, 1), np.uint8), ["a"], ["a"], [1.0], "t")


def test_text_says_what_the_document_says() -> None:
    classes = ("appendicularian", "copepod", "medusa")
    labels = ["copepod", "copepod", "copepod", "medusa", "whale"]
    predicted = ["copepod", "copepod", "medusa", "medusa", "copepod"]
    scores = {**score(labels, predicted, [0.9] * 5, classes), "failed": 2}
    document = {
        "split": "test",
        "instruments": {"PWSPC": scores},
        "overall": scores,
        "failures": [],
        "unlabelled": 7,
    }
    lines = format_scores(document).splitlines()
    words = [line.split() for line in lines]
    assert ["split:", "test"] in words
    assert ["PWSPC:", "4", "images"] in words
    assert ["copepod", "3", "0.667", "1.000"] in words
    assert ["medusa", "1", "1.000", "0.500"] in words
    assert ["appendicularian", "0", "-", "-"] in words
    assert next(line for line in words if line[:2] == ["macro", "recall"])[2] == "0.833"
    assert any("does not know: whale 1" in line for line in lines)
    assert any("cannot be read: 2" in line for line in lines)
    assert lines[-1].startswith("7 rows without label")
    assert (
        sum("PWSPC" in line for line in lines) == 1
    )  # one instrument: no second table of the same


def test_failures_are_named_up_to_a_limit() -> None:
    failures = [{"image": f"{k}.png", "error": "truncated: short"} for k in range(25)]
    lines = format_failures(failures).splitlines()
    assert lines[0].startswith("25 images")
    assert lines[1].split() == ["0.png:", "truncated:", "short"]
    assert len(lines) == 22
    assert "5 more" in lines[-1]
