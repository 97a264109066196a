"""How predictions become what other tools read: one file per format, one line here.

A format's module has ``SUMMARY``, a line for ``plankton-da list exports``, ``OPTIONS``, the fields
of ``ExportOptions`` that it reads, and ``write``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from plankton_da.errors import UsageError, suggest
from plankton_da.prediction.export import (
    classipyr,
    csv_table,
    darwincore,
    ecotaxa,
    ifcb_h5,
    morphocluster,
)
from plankton_da.prediction.export.options import ExportOptions, check_options, option_name
from plankton_da.prediction.export.reading import Predictions, read_predictions
from plankton_da.prediction.export.result import ExportResult

__all__ = [
    "EXPORTS",
    "ExportOptions",
    "ExportResult",
    "Predictions",
    "describe_exports",
    "export_predictions",
    "read_predictions",
]


class Export(Protocol):
    """What a format's module must have."""

    SUMMARY: str
    OPTIONS: frozenset[str]

    def write(self, predictions: Predictions, out: Path, options: ExportOptions) -> ExportResult:
        """Write ``out``, whole or not at all; refuse what is there unless ``options.overwrite``."""


EXPORTS: dict[str, Export] = {
    "csv": csv_table,
    "ecotaxa": ecotaxa,
    "ifcb-h5": ifcb_h5,
    "classipyr": classipyr,
    "morphocluster": morphocluster,
    "darwincore": darwincore,
}


def describe_exports() -> list[dict[str, str | list[str]]]:
    """Name, summary and options of each format, as ``list exports --json`` gives them."""
    return [
        {
            "name": name,
            "summary": export.SUMMARY,
            "options": [option_name(field) for field in sorted(export.OPTIONS)],
        }
        for name, export in EXPORTS.items()
    ]


def export_predictions(
    path: Path, format_name: str, out: Path, options: ExportOptions | None = None
) -> ExportResult:
    """Write a predictions file in the form that another tool reads.

    Raises
    ------
    UsageError
        No such format, an option that it ignores, or ``out`` is the predictions file itself.
    ManifestError
        The predictions file has problems; all are listed with their lines.
    DataError
        No row can be exported, or what is there cannot be said in this format.
    OutputError
        ``out`` exists and ``overwrite`` is False, or it cannot be written.
    """
    options = options or ExportOptions()
    if format_name not in EXPORTS:
        known = list(EXPORTS)
        near = suggest(format_name, known)
        raise UsageError(f"no format {format_name!r}; known: {', '.join(known)}{near}")
    export = EXPORTS[format_name]
    check_options(options, format_name, export.OPTIONS)
    if out.resolve() == path.resolve():
        raise UsageError(f"--out {out} is the predictions file itself; name another")
    return export.write(read_predictions(path), out, options)
