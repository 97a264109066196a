"""What is wrong with a run's tables at a glance: a name that is mistyped is said at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plankton_da.config import DataConfig
from plankton_da.manifests import rules, taxonomy
from plankton_da.manifests.problems import Problem, Problems
from plankton_da.manifests.reading import read_names


def glance(data: DataConfig) -> None:
    """Look whether the tables that a config names are there and have the columns that they need.

    Raises
    ------
    ManifestError
        All that are not; rows are not looked at.
    """
    problems = Problems()
    for paths, labelled in (
        (data.mid, True),
        (data.target, False),
        (data.target_labelled, True),
        (data.audit, True),
    ):
        for path in map(Path, paths or ()):
            raw = read_names(path)
            problems.extend(raw.problems)
            if not raw.problems:
                problems.add(rules.missing_columns(path, raw.names))
                problems.add(_missing_label(path, raw.names) if labelled else ())
    if data.taxonomy:
        path = Path(data.taxonomy)
        raw = read_names(path)
        problems.extend(raw.problems)
        if not raw.problems:
            problems.add(taxonomy.missing_columns(path, raw.names))
    problems.raise_if_any()


def _missing_label(path: Path, found: Sequence[str]) -> list[Problem]:
    if "label" in found:
        return []
    words = f"this column is needed to learn from or to measure with; found: {', '.join(found)}"
    return [Problem(str(path), 1, "label", "missing_column", words)]
