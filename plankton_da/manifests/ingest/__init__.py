"""How archives of each format become manifests: one file per format, one line here.

A format's module has ``SUMMARY``, a line for ``plankton-da list ingests``, and ``build``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from plankton_da.errors import UsageError, suggest
from plankton_da.manifests.ingest import folders
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.table import refuse_existing, write_manifest

__all__ = ["INGESTS", "IngestResult", "build_manifest"]


class Ingest(Protocol):
    """What a format's module must have."""

    SUMMARY: str

    def build(
        self, inputs: Sequence[Path], instrument: str, out: Path, *, labelled: bool
    ) -> IngestResult:
        """Rows for every image of the inputs; refs are relative to the folder of ``out``."""


INGESTS: dict[str, Ingest] = {"folders": folders}


def build_manifest(
    format_name: str,
    inputs: Sequence[Path],
    instrument: str,
    out: Path,
    *,
    labelled: bool = True,
    overwrite: bool = False,
) -> IngestResult:
    """Make a manifest of an archive and write it.

    Raises
    ------
    UsageError
        No such format, no such input, an empty instrument name.
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
    refuse_existing(out, overwrite)
    result = INGESTS[format_name].build(inputs, instrument, out, labelled=labelled)
    write_manifest(result.table, out, overwrite)
    return result
