"""What is wrong with a manifest, place by place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from plankton_da.errors import ManifestError

KEPT_PER_CODE = 1000  # places kept of each kind; all are counted
SHOWN_PER_CODE = 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where it is, and the way out.

    ``line`` is the line of a CSV file where the row begins (the header is line 1), the row of a
    Parquet file (the first is 1), or None where the problem is the whole file's.
    """

    file: str
    line: int | None
    column: str | None
    code: str
    message: str

    def __str__(self) -> str:
        return _line([self])


@dataclass
class Problems:
    """A list that counts every problem but keeps at most ``KEPT_PER_CODE`` of each code."""

    kept: list[Problem] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)

    def add(self, found: Iterable[Problem], total: int | None = None) -> None:
        """Keep what there is room for; ``total`` where ``found`` is already a part of all."""
        counts: dict[str, int] = {}
        for problem in found:
            seen = counts[problem.code] = counts.get(problem.code, 0) + 1
            if self.totals.get(problem.code, 0) + seen <= KEPT_PER_CODE:
                self.kept.append(problem)
        if total is not None and len(counts) == 1:
            counts = dict.fromkeys(counts, total)
        for code, count in counts.items():
            self.totals[code] = self.totals.get(code, 0) + count

    def extend(self, other: Problems) -> None:
        """Take over another's problems and its counts."""
        self.kept.extend(other.kept)
        for code, count in other.totals.items():
            self.totals[code] = self.totals.get(code, 0) + count

    def __bool__(self) -> bool:
        return bool(self.totals)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.kept)

    def raise_if_any(self) -> None:
        """Raise them all as one ``ManifestError``."""
        if self:
            raise ManifestError("\n".join(problem_lines(self.kept, self.totals)))


def problem_lines(problems: Sequence[Problem], totals: Mapping[str, int]) -> list[str]:
    """The problems for people: of each code the first 20, then how many more there are.

    Rows of which the same is to be said share a line.
    """
    lines: list[str] = []
    for code, total in totals.items():
        same: dict[tuple[str, str | None, str], list[Problem]] = {}
        for problem in problems:
            if problem.code == code:
                same.setdefault((problem.file, problem.column, problem.message), []).append(problem)
        shown = [group[:SHOWN_PER_CODE] for group in same.values()][:SHOWN_PER_CODE]
        lines.extend(_line(group) for group in shown)
        more = total - sum(len(group) for group in shown)
        if more:
            lines.append(f"... and {more} more: {code}")
    return lines


def _line(same: Sequence[Problem]) -> str:
    """One line for problems that differ in their place only."""
    first = same[0]
    place = [first.file]
    numbers = [str(problem.line) for problem in same if problem.line is not None]
    if numbers:
        unit = "row" if first.file.lower().endswith(".parquet") else "line"
        place.append(f"{unit}{'s' * (len(numbers) > 1)} {', '.join(numbers)}")
    if first.column is not None:
        place.append(f"column {first.column}")
    return printable(f"{', '.join(place)}: {first.message}")


def counted(count: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """Escapes for line breaks, control characters and bytes that are no text: one line it stays."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
