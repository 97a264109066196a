"""Pieces of the page: text that cannot be markup, numbers, bars and histograms."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from plankton_da.manifests.problems import printable

_LONGEST = 160
_WIDTH, _HEIGHT = 100, 30  # units of a histogram's own


def text(value: object, longest: int = _LONGEST) -> str:
    """Text for element or attribute; long ones lose their middle, control characters are escaped.

    Nothing in it can be taken for markup.
    """
    plain = str(value)
    if len(plain) > longest:
        half = longest // 2
        plain = f"{plain[:half]} … {plain[-half:]}"
    return html.escape(printable(plain), quote=True)


def number(count: int) -> str:
    """``12,345``."""
    return f"{count:,}"


def share(part: int, whole: int) -> str:
    """``3.1%``; what is there is never 0, what lacks is never all."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def score(value: float | None) -> str:
    """Three digits; ``1.000`` is only said of what is 1."""
    if value is None:
        return "–"
    return ">0.999" if 0.9995 <= value < 1 else f"{value:.3f}"


def bar(part: float, whole: float) -> str:
    """A bar of its share of the width; decoration, the number stands beside it."""
    width = 100 * part / whole if whole else 0
    return (
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.2f}" height="1"/></svg>'
    )


def histogram(counts: NDArray[np.int64], what: str) -> str:
    """Scores from 0 (left) to 1 (right); the highest column fills the height."""
    most = max(int(counts.max()), 1)
    step = _WIDTH / len(counts)
    path = "".join(
        f"M{left * step:g} {_HEIGHT}v{-max(_HEIGHT * int(n) / most, 0.6):.3g}h{step * 0.9:.3g}"
        f"V{_HEIGHT}z"
        for left, n in enumerate(counts)
        if n
    )
    words = text(f"{what}: scores from 0 to 1, {number(int(counts.sum()))} images; {_half(counts)}")
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-label="{words}"><title>{words}</title><path d="{path}"/></svg>'
    )


def _half(counts: NDArray[np.int64]) -> str:
    total = int(counts.sum())
    if not total:
        return "none has a score"
    middle = int(np.searchsorted(np.cumsum(counts), (total + 1) // 2))
    return f"half are above {middle / len(counts):.2f}"


def table(
    name: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int, sortable: bool
) -> str:
    """A table; ``head`` and cells are markup, the last ``numbers`` columns are right-aligned.

    The first cell of a row is its header.
    """
    count = len(head)
    kinds = ["" if column < count - numbers else ' class="n"' for column in range(count)]
    titles = "".join(
        f'<th scope="col"{kind}>{cell}</th>' for kind, cell in zip(kinds, head, strict=True)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(
            f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], others, strict=True)
        )
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table{kind}>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def section(identifier: str, title: str, *content: str) -> str:
    """A part of the page that the menu leads to."""
    return (
        f'<section id="{identifier}" aria-labelledby="{identifier}-title">'
        f'<h2 id="{identifier}-title">{title}</h2>{"".join(content)}</section>'
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values (text, not markup); empty values are left out."""
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value, 400)}</dd></div>"
        for name, value in pairs
        if value
    )
    return f'<dl class="facts">{items}</dl>'


def cards(figures: Iterable[tuple[str, str, str]]) -> str:
    """Large figures: value, what it counts, a remark ('' for none); text, not markup."""
    items = "".join(
        f"<li><b>{text(value)}</b><span>{text(what)}</span><small>{text(remark)}</small></li>"
        for value, what, remark in figures
    )
    return f'<ul class="cards">{items}</ul>'
