"""How archives of each format become manifests: one file per format, one line here.

A format's module has ``SUMMARY``, ``COLUMNS`` and ``OPTIONS``, which ``plankton-da list ingests``
shows, and ``build``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from plankton_da.errors import UsageError, suggest
from plankton_da.manifests.ingest import (
    csv_table,
    daplankton,
    ecotaxa,
    flowcam,
    folders,
    ifcb,
    planktonset,
    uvpec,
)
from plankton_da.manifests.ingest.options import FLAGS, IngestOptions, refuse_unknown
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.pixel_sizes import with_size
from plankton_da.manifests.table import refuse_existing, write_manifest

__all__ = ["INGESTS", "IngestOptions", "IngestResult", "build_manifest", "describe_ingests"]


class Ingest(Protocol):
    """What a format's module must have."""

    SUMMARY: str
    """what it reads: one line"""
    COLUMNS: tuple[str, ...]
    """columns of the manifest that it can fill, free ones included"""
    OPTIONS: frozenset[str]
    """fields of ``IngestOptions`` that it understands"""

    def build(
        self, inputs: Sequence[Path], instrument: str, out: Path, options: IngestOptions
    ) -> IngestResult:
        """Rows for every image of the inputs; refs are relative to the folder of ``out``."""


INGESTS: dict[str, Ingest] = {
    "folders": folders,
    "ifcb": ifcb,
    "flowcam": flowcam,
    "csv": csv_table,
    "ecotaxa": ecotaxa,
    "uvpec": uvpec,
    "planktonset": planktonset,
    "daplankton": daplankton,
}

_PLAIN = IngestOptions()


def describe_ingests() -> list[dict[str, str | list[str]]]:
    """Of each format: name, summary, columns, and options as the command line calls them."""
    return [
        {
            "name": name,
            "summary": ingest.SUMMARY,
            "columns": list(ingest.COLUMNS),
            "options": [FLAGS[each] for each in FLAGS if each in ingest.OPTIONS],
        }
        for name, ingest in INGESTS.items()
    ]


def build_manifest(
    format_name: str,
    inputs: Sequence[Path],
    instrument: str,
    out: Path,
    *,
    options: IngestOptions = _PLAIN,
    pixel_size_um: float | None = None,
    overwrite: bool = False,
) -> IngestResult:
    """Make a manifest of an archive and write it.

    Parameters
    ----------
    pixel_size_um
        of images of which the archive does not say it

    Raises
    ------
    UsageError
        No such format, no such input, an empty instrument name, an option that the format does not
        know, or no pixel size.
    ManifestError
        There is nothing to put into the manifest.
    OutputError
        ``out`` exists and ``overwrite`` is False, or it cannot be written.
    """
    if format_name not in INGESTS:
        known = list(INGESTS)
        near = suggest(format_name, known)
        raise UsageError(f"no format {format_name!r}; known: {', '.join(known)}{near}")
    if not instrument.strip():
        raise UsageError("--instrument is empty; name the camera, such as IFCB or ISIIS")
    ingest = INGESTS[format_name]
    refuse_unknown(format_name, ingest.OPTIONS, options)
    refuse_existing(out, overwrite)
    result = ingest.build(inputs, instrument, out, options)
    if pixel_size_um is not None:
        table, remarks = with_size(result.table, pixel_size_um)
        result = replace(result, table=table, remarks=[*result.remarks, *remarks])
    write_manifest(result.table, out, overwrite)
    return result
