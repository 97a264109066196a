"""What a taxonomy does to manifests: labels dropped, labels merged, classes of one camera alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plankton_da.manifests.columns import column_of, encode
from plankton_da.manifests.problems import SHOWN_PER_CODE, printable

_COLUMNS = ["instrument", "label", "class", "n"]


@dataclass(frozen=True, eq=False)
class TaxonomyUse:
    """A taxonomy on some manifests.

    ``counts`` has the columns instrument, label, class, n: the labelled rows, those aside whose
    label the map lacks. ``unused`` are labels of the map that no row has.
    """

    path: Path
    counts: pd.DataFrame
    unused: tuple[str, ...]

    @property
    def dropped(self) -> pd.DataFrame:
        """Labels whose rows are left out; as ``counts``."""
        return self.counts[self.counts["class"] == ""]

    @property
    def merged(self) -> pd.DataFrame:
        """Labels that become one class with others of the same instrument; as ``counts``."""
        kept = self.counts[self.counts["class"] != ""]
        return kept[kept.duplicated(["instrument", "class"], keep=False)]

    @property
    def without_partner(self) -> pd.DataFrame:
        """Classes that one of several instruments has alone: columns instrument, class, n."""
        kept = self.counts[self.counts["class"] != ""]
        if self.counts["instrument"].nunique() < 2:
            kept = kept[:0]
        sums = kept.groupby(["instrument", "class"])["n"].sum().reset_index()
        alone = ~sums["class"].duplicated(keep=False)
        return sums[alone]

    def as_json(self) -> dict[str, Any]:
        """The same as one JSON object."""
        return {
            "file": str(self.path),
            "dropped": self.dropped.drop(columns="class").to_dict(orient="records"),
            "merged": self.merged.to_dict(orient="records"),
            "without_partner": self.without_partner.to_dict(orient="records"),
            "unused": list(self.unused),
        }


def count_use(table: pd.DataFrame, taxonomy: Mapping[str, str]) -> pd.DataFrame:
    """``TaxonomyUse.counts`` of one table of manifest rows."""
    instruments, labels = (encode(column_of(table, name)) for name in ("instrument", "label"))
    width = len(labels.values) + 1
    keys, numbers = np.unique(
        instruments.codes.astype(np.int64) * width + labels.codes, return_counts=True
    )
    rows = []
    for key, n in zip(keys.tolist(), numbers.tolist(), strict=True):
        label = labels.values[key % width].as_py()
        if label in taxonomy:
            rows.append((instruments.values[key // width].as_py(), label, taxonomy[label], n))
    return pd.DataFrame(rows, columns=_COLUMNS)


def use_of(path: Path, taxonomy: Mapping[str, str], parts: Sequence[pd.DataFrame]) -> TaxonomyUse:
    """Sum of several tables' ``count_use``."""
    counts = pd.concat([pd.DataFrame(columns=_COLUMNS), *parts], ignore_index=True)
    counts = counts.astype({"n": int}).groupby(_COLUMNS[:3])["n"].sum().reset_index()
    used = set(counts["label"])
    return TaxonomyUse(path, counts, tuple(label for label in taxonomy if label not in used))


def use_lines(use: TaxonomyUse) -> list[str]:
    """What the taxonomy does, for people."""
    lines = [f"taxonomy {printable(str(use.path))}:"]
    for instrument, rows in use.merged.groupby("instrument"):
        for name, labels in rows.groupby("class"):
            lines.append(
                f"  {_in(instrument)}: {printable(str(name))} <- {_counted(labels, 'label')}"
            )
    for instrument, rows in use.dropped.groupby("instrument"):
        lines.append(f"  {_in(instrument)}: dropped: {_counted(rows, 'label')}")
    for instrument, rows in use.without_partner.groupby("instrument"):
        lines.append(f"  {_in(instrument)}: no partner elsewhere: {_counted(rows, 'class')}")
    if use.unused:
        more = len(use.unused) - SHOWN_PER_CODE
        shown = ", ".join(map(printable, use.unused[:SHOWN_PER_CODE]))
        lines.append(f"  in no row: {shown}{f', ... and {more} more' if more > 0 else ''}")
    if len(lines) == 1:
        lines.append("  nothing dropped, nothing merged")
    return lines


def _in(instrument: object) -> str:
    return printable(str(instrument)) or "(no name)"


def _counted(rows: pd.DataFrame, column: str) -> str:
    most = rows.sort_values("n", ascending=False, kind="stable")
    pairs = zip(most[column].tolist(), most["n"].tolist(), strict=True)
    named = [f"{printable(name)} ({n})" for name, n in pairs]
    more = len(named) - SHOWN_PER_CODE
    return ", ".join(named[:SHOWN_PER_CODE]) + (f", ... and {more} more" if more > 0 else "")
