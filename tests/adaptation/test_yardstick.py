"""Whether adaptation hurt is told from mid, audit labels and the classes in use."""

from __future__ import annotations

import re

import pytest

from plankton_da.adaptation.yardstick import compare_with_yardstick, metrics_under

SOURCE_ONLY = {
    "val/MID/macro_recall": 0.8,
    "audit/NEW/macro_recall": 0.5,
    "oracle/test/NEW/macro_recall": 0.5,
    "selection/mid_macro_recall": 0.8,
    "selection/effective_classes": 8.0,
}


def test_a_model_as_good_as_the_yardstick_is_not_said_to_hurt() -> None:
    assert compare_with_yardstick(SOURCE_ONLY, SOURCE_ONLY) == []
    better = {**SOURCE_ONLY, "selection/mid_macro_recall": 0.775, "audit/NEW/macro_recall": 0.6}
    assert compare_with_yardstick(better, SOURCE_ONLY) == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("selection/mid_macro_recall", 0.76, r"mid val fell from 0.800 \(source_only\) to 0.760"),
        ("audit/NEW/macro_recall", 0.49, "audit/NEW is 0.490, of source_only 0.500"),
        ("selection/effective_classes", 5.5, "5.5 classes' worth, source_only 8.0"),
    ],
)
def test_each_sign_of_harm_is_said(key: str, value: float, words: str) -> None:
    (sentence,) = compare_with_yardstick({**SOURCE_ONLY, key: value}, SOURCE_ONLY)
    assert sentence.startswith("adaptation hurt")
    assert re.search(words, sentence)


def test_target_labels_have_no_say() -> None:
    worse = {**SOURCE_ONLY, "oracle/test/NEW/macro_recall": 0.1}
    assert compare_with_yardstick(worse, SOURCE_ONLY) == []


def test_the_yardstick_s_metrics_keep_the_oracle_s_prefix_first() -> None:
    assert metrics_under("source_only", {"val/MID/n": 3.0, "oracle/test/NEW/n": 4.0}) == {
        "source_only/val/MID/n": 3.0,
        "oracle/source_only/test/NEW/n": 4.0,
    }
