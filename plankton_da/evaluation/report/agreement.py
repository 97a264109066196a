"""Predictions against the true labels that a manifest carried along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from plankton_da.evaluation.report.markup import (
    bar,
    cards,
    number,
    score,
    section,
    share,
    table,
    text,
)
from plankton_da.prediction.predictions import UNCLASSIFIED

_LARGEST_MATRIX = 40  # classes; a larger one cannot be read
_CONFUSIONS = 30
_SHADES = 10


@dataclass(frozen=True)
class Agreement:
    """Counts of (true label, label) among the images that have a true label."""

    pairs: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, rows: Mapping[tuple[str, str, str], int]) -> Agreement:
        """From counts of (instrument, label, true label)."""
        pairs: Counter[tuple[str, str]] = Counter()
        for (_, label, truth), n in rows.items():
            if truth:
                pairs[truth, label] += n
        return cls(pairs)

    @property
    def n(self) -> int:
        """Images with a true label."""
        return sum(self.pairs.values())

    @property
    def right(self) -> int:
        """Images whose label is the true one."""
        return sum(n for (truth, label), n in self.pairs.items() if truth == label)

    @property
    def true(self) -> dict[str, int]:
        """True label -> images."""
        return _summed(self.pairs, 0)

    @property
    def given(self) -> dict[str, int]:
        """Label -> images with a true label."""
        return _summed(self.pairs, 1)

    def recall(self, label: str) -> float | None:
        """Share of a true label's images that were given it."""
        n = self.true.get(label, 0)
        return self.pairs.get((label, label), 0) / n if n else None

    def precision(self, label: str) -> float | None:
        """Share of the images with a label whose true label it is."""
        n = self.given.get(label, 0)
        return self.pairs.get((label, label), 0) / n if n else None

    @property
    def macro_recall(self) -> float:
        """Mean recall of the true labels."""
        names = self.true
        return sum(self.recall(name) or 0.0 for name in names) / len(names)

    def section(self) -> str:
        """What the page says of it."""
        return section("truth", "Against the true labels", *self._parts())

    def _parts(self) -> list[str]:
        abstained = self.given.get(UNCLASSIFIED, 0)
        remark = f"{number(self.right)} of {number(self.n)} images"
        parts = [
            cards(
                [
                    (score(self.right / self.n), "accuracy", remark),
                    (score(self.macro_recall), "macro recall", "mean over the true classes"),
                    (share(self.n - abstained, self.n), "coverage", "unclassified counts as wrong"),
                ]
            )
        ]
        given, true = self.given, self.true
        if never := sorted(name for name in true if name not in given):
            more = f" and {len(never) - 20} more" if len(never) > 20 else ""
            parts.append(
                f'<p class="note">Never predicted: {text(", ".join(never[:20]), 600)}{more}. If '
                f"the model calls a class by another name, these figures are too low.</p>"
            )
        if max(len(true), len(given)) <= _LARGEST_MATRIX:
            parts.append(self._matrix())
        return [*parts, self._confusions()]

    def _matrix(self) -> str:
        true = self.true
        names = sorted(self.given, key=lambda name: (name == UNCLASSIFIED, name))
        head = ["true ↓ predicted →", *(f"<span>{text(name)}</span>" for name in names), "all"]
        rows = [
            [text(truth), *(self._cell(truth, label, n) for label in names), number(n)]
            for truth, n in sorted(true.items())
        ]
        body = table("Confusion matrix", head, rows, numbers=len(names) + 1, sortable=False)
        return f'<div class="matrix"><h3>Confusion matrix</h3>{body}</div>'

    def _cell(self, truth: str, label: str, total: int) -> str:
        n = self.pairs.get((truth, label), 0)
        if not n:
            return '<span class="zero">·</span>'
        shade = min(_SHADES, 1 + int(_SHADES * n / total))
        kind = "right" if truth == label else "wrong"
        return f'<span class="{kind} h{shade}">{number(n)}</span>'

    def _confusions(self) -> str:
        wrong = sorted(
            ((n, *pair) for pair, n in self.pairs.items() if pair[0] != pair[1]),
            key=lambda item: (-item[0], item[1:]),
        )
        if not wrong:
            return ""
        rows = [
            [text(truth), text(label), number(n) + bar(n, wrong[0][0]), share(n, self.true[truth])]
            for n, truth, label in wrong[:_CONFUSIONS]
        ]
        head = ["true label", "taken for", "images", "of that class"]
        return "<h3>Most frequent confusions</h3>" + table(
            "Most frequent confusions", head, rows, numbers=2, sortable=False
        )


def _summed(pairs: Mapping[tuple[str, str], int], place: int) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for pair, n in pairs.items():
        counts[pair[place]] += n
    return dict(counts)
