"""What the classes of a model are called where the predictions go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from plankton_da.errors import ManifestError
from plankton_da.manifests.problems import SHOWN_PER_CODE
from plankton_da.manifests.reading import read_table
from plankton_da.manifests.taxonomy import read_taxonomy
from plankton_da.prediction.predictions import UNCLASSIFIED


@dataclass(frozen=True)
class Renaming:
    """Class of the model -> its name there, '' for none, and further columns of the file."""

    names: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """column -> class -> value"""

    def name(self, label: str) -> str:
        """The name of a class; that of ``unclassified`` is ''."""
        return "" if label == UNCLASSIFIED else self.names.get(label, label)

    def value(self, column: str, label: str) -> str:
        """What a further column says of a class; '' where nothing."""
        return self.columns.get(column, {}).get(label, "")


def read_renaming(path: Path | None, labels: pd.Series[str]) -> Renaming:
    """Read a label map (CSV with label,class and any other columns) that has all of ``labels``.

    Without a path every class keeps its name.

    Raises
    ------
    ManifestError
        The file has problems, or lacks labels; all are listed.
    """
    if path is None:
        return Renaming()
    names = read_taxonomy(path)
    lacking = sorted(set(labels.unique()) - set(names) - {UNCLASSIFIED, ""})
    if lacking:
        more = f" and {len(lacking) - SHOWN_PER_CODE} more" if len(lacking) > SHOWN_PER_CODE else ""
        raise ManifestError(
            f"{path}: lacks {len(lacking)} label(s) of the predictions: "
            f"{', '.join(lacking[:SHOWN_PER_CODE])}{more}; add a line label,class for each (an "
            f"empty class: no name there)"
        )
    table = read_table(path).table
    further = [str(name) for name in table.columns if name not in ("label", "class")]
    own = table["label"].tolist()
    return Renaming(
        names,
        {name: dict(zip(own, table[name].tolist(), strict=True)) for name in further},
    )
