"""Pictures of each class: the surest, the least sure, some at random, those that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from plankton_da.errors import ImageError
from plankton_da.evaluation.report.markup import histogram, number, score, share, text
from plankton_da.evaluation.report.samples import Sample
from plankton_da.evaluation.report.survey import MOST_SAMPLES, Survey
from plankton_da.evaluation.report.thumbnails import SIDE, Thumbnails, make_thumbnails

MOST_PICTURES = 1800
"""on a page, apart from those of classes beyond the first ones"""
MOST_CLASSES = 300
"""that have pictures"""
ROOM = 6_500_000
"""characters that all pictures take at most, so that a page stays below 10 MB"""
_FEWEST = 2


@dataclass(frozen=True)
class Strip:
    """Pictures of one kind."""

    title: str
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Gallery:
    """The strips of each class, and the pictures in them."""

    strips: dict[str, list[Strip]]
    thumbnails: Thumbnails

    @property
    def lost(self) -> dict[str, ImageError]:
        """Refs that could be opened when they were classified, and not now."""
        return self.thumbnails.problems

    def section_of(self, index: int, label: str, survey: Survey, opened: bool) -> str:
        """A class as something to unfold."""
        count = survey.labels()[label]
        strips = "".join(self._strip(strip) for strip in self.strips[label])
        name = text(label)
        return (
            f'<details class="class" id="class-{index}" data-name="{text(label.lower())}"'
            f"{' open' if opened else ''}><summary><h3>{name}</h3>"
            f"<span>{number(count)} images, {share(count, survey.images)}</span></summary>"
            f'<figure class="scores">{histogram(survey.histogram(label), label)}'
            f"<figcaption><span>0</span><span>score</span><span>1</span></figcaption></figure>"
            f"{strips}</details>"
        )

    def _strip(self, strip: Strip) -> str:
        tiles = "".join(self._tile(sample) for sample in strip.samples)
        return f'<h4>{text(strip.title)}</h4><ul class="strip">{tiles}</ul>'

    def _tile(self, sample: Sample) -> str:
        picture = self.thumbnails.pictures.get(sample.image)
        problem = self.thumbnails.problems.get(sample.image)
        if picture is not None:
            shown = f'<img src="{picture}" alt="" width="{SIDE}" height="{SIDE}" decoding="async">'
        else:
            words = f"cannot be opened now: {problem.code}" if problem else "no room for it here"
            shown = f'<span class="none">{text(words)}</span>'
        second = f"{sample.second_label} {score(sample.second_score)}" * bool(sample.second_label)
        raw = sample.raw_label if sample.raw_label != sample.label else ""
        known = {
            "id": sample.object_id,
            "label": sample.label,
            "best": raw,
            "score": score(sample.score),
            "second": second,
            "true": sample.true_label,
            "instrument": sample.instrument,
            "image": sample.image,
        }
        data = "".join(f' data-{key}="{text(value, 400)}"' for key, value in known.items() if value)
        under = text(sample.true_label, 40) if _is_wrong(sample) else text(raw, 40)
        mark = "✗ " if _is_wrong(sample) else ""
        caption = f"{score(sample.score)}{f' <i>{mark}{under}</i>' if under else ''}"
        called = text(f"{sample.label} {score(sample.score)}, {sample.object_id}")
        return (
            f'<li><button type="button" class="tile" aria-label="{called}"{data}>{shown}'
            f"<span>{caption}</span></button></li>"
        )


def _is_wrong(sample: Sample) -> bool:
    return bool(sample.true_label) and sample.true_label != sample.label


def make_gallery(survey: Survey, root: Path, progress: bool = False) -> Gallery:
    """Choose and draw the pictures; the more classes, the fewer of each.

    Raises
    ------
    DataError
        The processes that decode images do not start.
    """
    counts = survey.labels()
    shown = list(counts)[:MOST_CLASSES]
    kinds = 4 if any(truth for _, _, truth in survey.rows) else 3
    each = max(_FEWEST, min(MOST_SAMPLES, MOST_PICTURES // max(1, kinds * len(shown))))
    strips = {label: _strips(survey, label, counts[label], each) for label in shown}
    # the first picture of every strip, then the second, ...: room is shared fairly
    columns = zip_longest(*(strip.samples for found in strips.values() for strip in found))
    refs = [sample.image for column in columns for sample in column if sample is not None]
    return Gallery(strips, make_thumbnails(refs, root, ROOM, progress))


def _strips(survey: Survey, label: str, count: int, each: int) -> list[Strip]:
    if count <= each and len(survey.surest(label)) == count:
        found = [Strip(f"All {count}, surest first", survey.surest(label))]
    else:
        half = min(each, count // 2)  # so that no image is among the surest and the least sure
        found = [
            Strip("Surest", survey.surest(label)[:half]),
            Strip("Least sure", survey.least_sure(label)[:half]),
        ]
        if count > 2 * each:
            found.append(Strip("At random", survey.random(label)[:each]))
    if wrong := survey.wrong(label)[:each]:
        found.append(Strip("Wrong, surest first", wrong))
    return [strip for strip in found if strip.samples]
