"""How archives of each format become manifests: one file per format."""

from __future__ import annotations

from plankton_da.manifests.ingest import folders

INGESTS = {"folders": folders}
