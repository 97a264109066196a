"""Which class a label means, by its name, its place in a hierarchy, its AphiaID, its spelling."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plankton_da.manifests.names import Name, fold

NEAR_AT_LEAST = 75.0
"""score of a near name, of 100"""
_CLOSE_CALL = 3.0  # candidates within so many points of the best are named beside it
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Match:
    """The class proposed for a label.

    ``how`` is exact, aphia_id, folded, hierarchy, ancestor or near; ``doubt`` says why a person has
    to look, and is '' where nobody has to. ``others`` are classes that might be meant as well.
    """

    class_name: str
    how: str
    score: float
    doubt: str = ""
    others: tuple[str, ...] = ()


def match_names(
    labels: Sequence[Name], classes: Sequence[Name], near: float = NEAR_AT_LEAST
) -> list[Match | None]:
    """For each label the class it most likely means, or None.

    Surer ways come first: the same name, the same AphiaID, the same name but for case and
    separators, the same place in EcoTaxa's hierarchy, a class among its ancestors, and at last a
    name that is spelt nearly so. Ancestors and near names are always doubtful.

    Parameters
    ----------
    near : least score of a near name, 0 to 100
    """
    known = _Known(classes, Counter(name.lineage[-1] for name in labels if name.lineage))
    matches = [known.match(label) for label in labels]
    open_rows = [row for row, match in enumerate(matches) if match is None]
    scores = likeness([_spelt(labels[row]) for row in open_rows], [_spelt(n) for n in classes])
    for row, found in zip(open_rows, scores, strict=True):
        matches[row] = _near(found, classes, near)
    return matches


def _spelt(name: Name) -> str:
    """What is compared by its spelling: ``egg<Copepoda`` whole, for an egg alone says little."""
    return name.text if "<" in name.text else name.own


class _Known:
    """The classes, by all that a label can have in common with them."""

    def __init__(self, classes: Sequence[Name], leaves: Counter[str]) -> None:
        self._leaves = leaves  # labels that end in the same part
        self._by_text = _grouped((name.text, name) for name in classes)
        self._by_aphia = _grouped((name.aphia_id, name) for name in classes if name.aphia_id)
        self._by_fold = _grouped((fold(name.text), name) for name in classes)
        self._by_leaf = _grouped((name.lineage[-1], name) for name in classes if name.lineage)

    def match(self, label: Name) -> Match | None:
        if label.text in self._by_text:
            return _settled(label, self._by_text[label.text], "exact")
        if label.aphia_id in self._by_aphia:
            return _settled(label, self._by_aphia[label.aphia_id], "aphia_id")
        if fold(label.text) in self._by_fold:
            return _settled(label, self._by_fold[fold(label.text)], "folded")
        if label.lineage:
            return self._same_end(label) or self._ancestor(label)
        return None

    def _same_end(self, label: Name) -> Match | None:
        """A class that ends in the same part: egg<Copepoda is living>Copepoda>egg, egg perhaps."""
        named = self._by_leaf.get(label.lineage[-1], [])
        same = [name for name in named if _common_end(name.lineage, label.lineage) > 1]
        agreeing = [name for name in same if _one_holds_other(name.lineage, label.lineage)]
        if agreeing:
            return _settled(label, agreeing, "hierarchy")
        if not named:
            return None
        match = _settled(label, same or named, "hierarchy")
        alone = len(named) == 1 and self._leaves[label.lineage[-1]] == 1
        if match.doubt or (alone and _is_full_and_plain(label, named[0])):
            return match
        words = f"the same name {label.own!r}, but other parents or none"
        return Match(match.class_name, match.how, match.score, words, match.others)

    def _ancestor(self, label: Name) -> Match | None:
        for part in label.lineage[-2::-1]:
            if part in self._by_leaf:
                found = _settled(label, self._by_leaf[part], "ancestor")
                words = f"a part of {found.class_name!r} by its hierarchy; merge it?"
                return Match(found.class_name, found.how, found.score, words, found.others)
        return None


def _settled(label: Name, found: Sequence[Name], how: str) -> Match:
    """The first of the classes found, doubtful where there are more or AphiaIDs disagree."""
    first, *others = found
    doubt = ""
    if others:
        doubt = f"{len(found)} classes fit"
    elif first.aphia_id and label.aphia_id and first.aphia_id != label.aphia_id:
        doubt = f"AphiaID {label.aphia_id} of the label, {first.aphia_id} of the class"
    return Match(first.text, how, 100.0, doubt, tuple(name.text for name in others))


def _near(scores: NDArray[np.float64], classes: Sequence[Name], least: float) -> Match | None:
    """The class whose name is most alike; ``scores`` (K,)."""
    if not len(scores) or scores.max() < least:
        return None
    best, *rest = np.argsort(-scores, kind="stable").tolist()
    close = [k for k in rest if scores[k] >= max(least, scores[best] - _CLOSE_CALL)]
    others = tuple(classes[k].text for k in close)
    words = "a similar name only" + (f", as near as {len(others)} more" if others else "")
    return Match(classes[best].text, "near", float(scores[best]), words, others)


def likeness(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """How alike names are: (N, K), 0 to 100.

    The best of three measures of rapidfuzz: the letters of both in order; the words of one within
    the other; and, where one name is a single word, that word against the nearest of the other's.
    The latter two reach 90 at most, for a word in common does not make two names the same.
    """
    from rapidfuzz import fuzz
    from rapidfuzz.process import cdist

    if not labels or not classes:
        return np.zeros((len(labels), len(classes)))
    left, right = [_words(name) for name in labels], [_words(name) for name in classes]
    letters = cdist([fold(n) for n in labels], [fold(n) for n in classes], scorer=fuzz.ratio)
    sets = [[" ".join(words) for words in side] for side in (left, right)]
    words = cdist(*sets, scorer=fuzz.token_set_ratio)
    score: NDArray[np.float64] = np.maximum(letters, 0.9 * words).astype(np.float64)  # (N, K)
    mine, theirs = _vocabulary(left), _vocabulary(right)
    alike = 0.9 * cdist(list(mine), list(theirs), scorer=fuzz.ratio)  # word by word
    flat = [theirs[word] for name in right for word in name]
    starts = np.cumsum([0, *(len(name) for name in right[:-1])])
    single = np.array([len(name) == 1 for name in right])
    for row, name in enumerate(left):
        nearest = alike[[mine[word] for word in name]].max(axis=0)  # to each of their words
        best = np.maximum.reduceat(nearest[flat], starts)  # (K,)
        score[row] = np.maximum(score[row], np.where(single | (len(name) == 1), best, 0))
    return score


def _vocabulary(names: Iterable[Sequence[str]]) -> dict[str, int]:
    words = sorted({word for name in names for word in name})
    return {word: number for number, word in enumerate(words)}


def _words(name: str) -> list[str]:
    parts = re.split(r"[\W_]+", _CAMEL.sub(" ", name))
    return [fold(part) for part in parts if part] or [fold(name)]


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _one_holds_other(one: Sequence[str], other: Sequence[str]) -> bool:
    return _common_end(one, other) == min(len(one), len(other))


def _is_full_and_plain(label: Name, other: Name) -> bool:
    """Whether one is a whole lineage and the other a plain name, as EcoTaxa shows unique names."""
    return ("<" in label.text, "<" in other.text) == (False, False) and (
        min(len(label.lineage), len(other.lineage)) == 1
    )


def _grouped(pairs: Iterable[tuple[str, Name]]) -> dict[str, list[Name]]:
    groups: dict[str, list[Name]] = defaultdict(list)
    for key, name in pairs:
        groups[key].append(name)
    return dict(groups)
