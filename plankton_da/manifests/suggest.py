"""A first taxonomy for two archives that name things differently, for a person to go through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from plankton_da.errors import UsageError
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.matching import NEAR_AT_LEAST, Match, match_names
from plankton_da.manifests.names import Name, read_names
from plankton_da.manifests.problems import SHOWN_PER_CODE, printable
from plankton_da.manifests.table import refuse_existing, write_manifest
from plankton_da.manifests.taxonomy import CHECK

COLUMNS = ("label", "class", CHECK, "how", "score", "others", "mid_rows", "target_rows")
_NUMBERS = ("score", "mid_rows", "target_rows")
_OTHERS = 5  # named beside the best


@dataclass(frozen=True)
class Suggestion:
    """A proposed taxonomy: ``table`` has one row per label, with ``COLUMNS``, all text.

    ``how`` is '' where nothing was found, and ``class`` then the label itself; ``target`` marks
    names that the target alone has.
    """

    table: pd.DataFrame
    out: Path

    @property
    def to_check(self) -> pd.DataFrame:
        """Rows that a person has to confirm before the file can be used."""
        return self.table[self.table[CHECK] != ""]

    @property
    def alone(self) -> pd.DataFrame:
        """Labels of mid that nothing among the classes was found for."""
        return self.table[self.table["how"] == ""]

    @property
    def never_met(self) -> pd.DataFrame:
        """Classes of the target that no label of mid is mapped to."""
        own = self.table["how"] == "target"
        return self.table[own & ~self.table["label"].isin(self.table.loc[~own, "class"])]

    def as_json(self) -> dict[str, Any]:
        """The suggestion as one JSON object."""
        return {
            "file": str(self.out),
            "labels": len(self.table),
            "to_check": len(self.to_check),
            "without_partner": {
                "mid": self.alone["label"].tolist(),
                "target": self.never_met["label"].tolist(),
            },
            "rows": [
                {name: int(v or 0) if name in _NUMBERS else v for name, v in row.items()}
                for row in self.table.to_dict(orient="records")
            ],
        }


def suggest_taxonomy(
    mid: Path,
    target: Path,
    out: Path,
    near: float = NEAR_AT_LEAST,
    overwrite: bool = False,
) -> Suggestion:
    """Map the labels of ``mid`` to the names of ``target``, and write the map.

    Where ``target`` is a manifest, its own labels are in the map too, as themselves, so that one
    file serves both cameras. Doubtful rows have a question in the column ``check``; until it is
    emptied, ``read_taxonomy`` refuses the file.

    Parameters
    ----------
    mid : manifest, or another source of names as ``read_names`` takes it
    target : manifest, list of names or bundle
    out : CSV to write
    near : least score of a near name, 0 to 100

    Raises
    ------
    UsageError
        ``out`` is no CSV, or ``near`` is no score.
    ManifestError
        A source cannot be read, or has no names.
    OutputError
        ``out`` exists and ``overwrite`` is False, or it cannot be written.
    """
    if out.suffix.lower() != ".csv":
        raise UsageError(f"--out {out}: a taxonomy is a CSV; give a name that ends in .csv")
    if not 0 < near <= 100:
        raise UsageError(f"--near {near:g}: give a score above 0, 100 at most")
    refuse_existing(out, overwrite)
    labels, classes = read_names(mid), read_names(target)
    rows = _rows(labels, classes, match_names(labels, classes, near))
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=TEXT)
    write_manifest(table, out, overwrite)
    return Suggestion(table, out)


def _rows(
    labels: Sequence[Name], classes: Sequence[Name], matches: Sequence[Match | None]
) -> list[tuple[str, ...]]:
    """Doubtful rows first, then those without a partner, then the others; the target's own last."""
    of_class = {name.text: str(name.rows) if name.rows else "" for name in classes}
    rows: list[tuple[str, ...]] = []
    for name, match in zip(labels, matches, strict=True):
        mid_rows = str(name.rows) if name.rows else ""
        counts = (mid_rows, of_class.get(name.text, ""))
        if match is None:
            rows.append((name.text, name.text, "", "", "", "", *counts))
            continue
        others = _joined(match.others)
        score = f"{match.score:.0f}"
        rows.append((name.text, match.class_name, match.doubt, match.how, score, others, *counts))
    rows.sort(key=lambda row: (row[2] == "", row[3] != "", row[0]))
    seen = {name.text for name in labels}
    own = [name for name in classes if name.rows and name.text not in seen]
    rows += [(name.text, name.text, "", "target", "", "", "", str(name.rows)) for name in own]
    return rows


def _joined(names: Sequence[str]) -> str:
    more = f" and {len(names) - _OTHERS} more" * (len(names) > _OTHERS)
    return " | ".join(names[:_OTHERS]) + more


def suggestion_summary(suggestion: Suggestion) -> str:
    """What was proposed, for people."""
    table = suggestion.table
    lines = []
    for how in dict.fromkeys(table["how"]):
        if how and how != "target":
            found = table[table["how"] == how]
            doubtful = int((found[CHECK] != "").sum())
            lines.append(f"{how}: {len(found)} label(s), {doubtful} to confirm")
    for row in suggestion.to_check.head(SHOWN_PER_CODE).itertuples(index=False):
        label, class_name, check, _, score, others, *_ = (printable(str(v)) for v in row)
        more = f"; or {others}" if others else ""
        lines.append(f"  {label} -> {class_name}? {check} ({score}){more}")
    if len(suggestion.to_check) > SHOWN_PER_CODE:
        lines.append(f"  ... and {len(suggestion.to_check) - SHOWN_PER_CODE} more")
    lines += _named("without a partner, so that they stay classes of their own", suggestion.alone)
    lines += _named("names that no label was mapped to", suggestion.never_met)
    lines.append(f"{printable(str(suggestion.out))}: {len(table)} labels written")
    if len(suggestion.to_check):
        lines.append(
            f"{len(suggestion.to_check)} of them to confirm; until then the file is refused: "
            "correct the class where it is wrong, then empty the cell check"
        )
    return "\n".join(lines)


def _named(words: str, rows: pd.DataFrame) -> list[str]:
    if rows.empty:
        return []
    names = [printable(name) for name in rows["label"].tolist()]
    more = f", ... and {len(names) - SHOWN_PER_CODE} more" * (len(names) > SHOWN_PER_CODE)
    return [f"{words}: {', '.join(names[:SHOWN_PER_CODE])}{more}"]
