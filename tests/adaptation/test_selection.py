"""Which checkpoint is deployed, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from plankton_da.adaptation.diagnosis import diagnose
from plankton_da.adaptation.selection import choose
from plankton_da.config import TrainingConfig
from plankton_da.images.preprocess import InstrumentLook, Preprocess

PREPROCESS = Preprocess(image_size=32, instruments={"CAM": InstrumentLook()})


def entry(step: int, **changes: Any) -> dict[str, Any]:
    return {
        "step": step,
        "mid_accuracy": 0.8,
        "mid_macro_recall": 0.8,
        "audit_macro_recall": None,
        "oracle_macro_recall": 0.5,
        "infomax": 1.0,
        "effective_classes": 8.0,
        "mid_effective_classes": 9.0,
        "target_confidence": 0.6,
        "temperature": 1.0,
        **changes,
    }


def step_of(history: list[dict[str, Any]], adapts: bool = True, **settings: Any) -> int:
    return choose(history, TrainingConfig(**settings), adapts=adapts).step


def test_infomax_decides_among_those_near_the_best_mid() -> None:
    history = [
        entry(1, infomax=1.9, mid_macro_recall=0.70),  # best InfoMax, but mid fell too far
        entry(2, infomax=1.5, mid_macro_recall=0.78),
        entry(3, infomax=1.2, mid_macro_recall=0.80),
    ]
    assert step_of(history) == 2


def test_collapsed_predictions_are_passed_over() -> None:
    history = [entry(1, infomax=1.5, effective_classes=4.0), entry(2, infomax=1.0)]
    assert step_of(history) == 2


def test_a_method_that_does_not_adapt_is_chosen_by_mid() -> None:
    history = [entry(1, infomax=1.0, mid_macro_recall=0.81), entry(2, infomax=2.0)]
    assert step_of(history, adapts=False) == 1


def test_target_labels_have_no_say_unless_permitted() -> None:
    history = [entry(1, oracle_macro_recall=0.9), entry(2, infomax=1.1, oracle_macro_recall=0.1)]
    for select_by in ("default", "mid_val", "infomax", "last"):
        swapped = [
            {**item, "oracle_macro_recall": 1 - item["oracle_macro_recall"]} for item in history
        ]
        chosen = [step_of(h, select_by=select_by) for h in (history, swapped)]
        assert chosen[0] == chosen[1]
    permitted = choose(
        history, TrainingConfig(select_by="oracle", allow_oracle_selection=True), adapts=True
    )
    assert permitted.step == 1
    assert "target labels" in permitted.selected_by


def test_audit_labels_decide_where_there_are_any() -> None:
    history = [entry(1, audit_macro_recall=0.7), entry(2, infomax=2.0, audit_macro_recall=0.6)]
    assert step_of(history) == 1


def test_of_equals_the_latest() -> None:
    assert step_of([entry(1), entry(2), entry(3, mid_macro_recall=0.5)]) == 2


def scalars(accuracy: float, loss: float = 0.4, count: int = 20) -> list[dict[str, float]]:
    return [
        {"domain_loss": loss + 0.001 * number, "domain_accuracy": accuracy}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("chosen", "recorded", "words"),
    [
        (entry(1), scalars(0.99), "discriminator wins"),
        (entry(1), [{"domain_loss": 0.6931, "domain_accuracy": 0.5}] * 20, "dead"),
        (entry(1), scalars(0.51, 0.69), "says nothing about whether the classes are matched"),
        (entry(1, effective_classes=3.0), scalars(0.7), "collapsed"),
        (entry(1, target_confidence=0.9), scalars(0.7), "over-confident"),
    ],
)
def test_what_went_wrong_is_said(
    chosen: dict[str, Any], recorded: list[dict[str, float]], words: str
) -> None:
    sentences = diagnose(chosen, recorded, PREPROCESS, 0)
    assert len(sentences) == 1
    assert words in sentences[0]


def test_nothing_is_said_when_nothing_is_wrong() -> None:
    assert diagnose(entry(1), scalars(0.7), PREPROCESS, 0) == []


def test_bad_inputs_are_said() -> None:
    mixed = Preprocess(image_size=32, instruments={"CAM": InstrumentLook(polarity_votes=0.55)})
    sentences = diagnose(entry(1), [], mixed, 3)
    assert "55% of the images agree on polarity" in sentences[0]
    assert sentences[1].startswith("3 images did not decode")
