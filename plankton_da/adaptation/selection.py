"""Which checkpoint is deployed; target labels have no say unless the config permits it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plankton_da.config import TrainingConfig

GATE = 0.05
"""a candidate's mid val macro recall may fall so far behind the best"""


@dataclass(frozen=True)
class Choice:
    """The chosen checkpoint, and by what."""

    step: int
    selected_by: str


def choose(history: list[dict[str, Any]], config: TrainingConfig, *, adapts: bool) -> Choice:
    """Choose among the evaluations of a run (fields of ``Scores``, and ``step``).

    ``default``: audit labels decide where there are any. Else a method that adapts is chosen by
    InfoMax over the target (Shi & Sha, ICML 2012) among the candidates whose mid val macro recall
    is within GATE of the best and whose predictions have not collapsed; a method that does not
    adapt, by mid val. Without images of mid the last step whose predictions have not collapsed is
    taken, since such methods maximise InfoMax themselves. Of equals the latest is taken.
    """
    if config.select_by == "last":
        return Choice(history[-1]["step"], "last step")
    if config.select_by == "oracle":
        best = _best(history, "oracle_macro_recall")
        return Choice(best["step"], "oracle: target labels chose this model")
    audited = history[0]["audit_macro_recall"] is not None
    if config.select_by == "audit" or (config.select_by == "default" and audited):
        return Choice(_best(history, "audit_macro_recall")["step"], "audit macro recall")
    if config.select_by == "mid_val" or (config.select_by == "default" and not adapts):
        return Choice(_best(history, "mid_macro_recall")["step"], "mid val macro recall")
    whole = [entry for entry in history if not collapsed(entry)]
    if history[0]["mid_macro_recall"] is None:
        if config.select_by == "infomax":
            return Choice(_best(whole or history, "infomax")["step"], "InfoMax on the target")
        words = "last step whose predictions have not collapsed" if whole else "last step"
        return Choice((whole or history)[-1]["step"], f"{words}: there are no images of mid")
    floor = _best(history, "mid_macro_recall")["mid_macro_recall"] - GATE
    gated = [entry for entry in history if entry["mid_macro_recall"] >= floor]
    whole = [entry for entry in whole if entry in gated]
    words = f"InfoMax on the target, mid val within {GATE} of the best"
    return Choice(_best(whole or gated, "infomax")["step"], words)


def collapsed(entry: dict[str, Any]) -> bool:
    """Whether the target's predictions use less than half as many classes as mid's."""
    return bool(entry["effective_classes"] < 0.5 * entry["mid_effective_classes"])


def _best(history: list[dict[str, Any]], key: str) -> dict[str, Any]:
    return max(history, key=lambda entry: (entry[key], entry["step"]))
