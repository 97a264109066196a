"""What the user may say about an archive beside its place and its camera's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from plankton_da.errors import UsageError, suggest

FLAGS: dict[str, str] = {
    "labelled": "--unlabelled",
    "labels": "--labels",
    "columns": "--column",
    "all_labels": "--all-labels",
}
"""field of ``IngestOptions`` -> how it is called on the command line"""


@dataclass(frozen=True)
class IngestOptions:
    """Options of ``manifest build``; which of them a format understands, its ``OPTIONS`` says."""

    labelled: bool = True
    """False: no column ``label``"""
    labels: Path | None = None
    """file or folder that holds the labels"""
    columns: Mapping[str, str] = field(default_factory=dict)
    """column of the manifest -> column of the archive's table"""
    all_labels: bool = False
    """also take labels that nobody has confirmed"""

    def given(self) -> tuple[str, ...]:
        """Names of the fields that differ from their default."""
        plain = IngestOptions()
        names = (each.name for each in fields(self))
        return tuple(name for name in names if getattr(self, name) != getattr(plain, name))


def refuse_unknown(format_name: str, known: frozenset[str], options: IngestOptions) -> None:
    """Raise UsageError if an option is given that the format has no use for."""
    flags = [FLAGS[name] for name in options.given() if name not in known]
    if not flags:
        return
    own = [FLAGS[name] for name in FLAGS if name in known]
    has = f"it has {', '.join(own)}" if own else "it has no options of its own"
    raise UsageError(f"the format {format_name} does not know {', '.join(flags)}; {has}")


def parse_columns(pairs: Sequence[str]) -> dict[str, str]:
    """``["image=path"]`` -> ``{"image": "path"}``: manifest column -> the table's column.

    Raises
    ------
    UsageError
        A pair without ``=`` or with an empty side, or the same manifest column twice.
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (equals and ours.strip() and theirs.strip()):
            raise UsageError(f"--column {pair}: expected MANIFEST_COLUMN=TABLE_COLUMN")
        if ours in columns:
            raise UsageError(f"--column: {ours} is given twice ({columns[ours]}, {theirs})")
        columns[ours] = theirs
    return columns


def refuse_unknown_columns(
    columns: Mapping[str, str], found: Sequence[str], table: Path | str
) -> None:
    """Raise UsageError if ``--column`` names columns that the archive's table does not have."""
    lacking = [name for name in columns.values() if name not in found]
    if lacking:
        near = suggest(lacking[0], list(found))
        raise UsageError(
            f"{table}: --column names {', '.join(map(repr, lacking))}, which the table does not "
            f"have{near}; it has {', '.join(found)}"
        )
