"""Tables of several manifests as one, with what a run needs to know of each row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from plankton_da.config import Config, InstrumentPreprocessConfig
from plankton_da.errors import ConfigError, suggest
from plankton_da.images.polarity import find_look
from plankton_da.images.preprocess import InstrumentLook
from plankton_da.manifests.columns import OPTIONAL, REQUIRED, column_of
from plankton_da.manifests.table import Manifest
from plankton_da.manifests.taxonomy import apply_taxonomy

COLUMNS = (*REQUIRED, *OPTIONAL)
"""what a run needs of a manifest; whatever else it has is not read"""
ROOT = "__root"
"""column: folder that a row's ref is relative to"""

log = logging.getLogger(__name__)


def concatenate(manifests: Sequence[Manifest], taxonomy: Mapping[str, str] | None) -> pd.DataFrame:
    """The rows of all manifests with ``COLUMNS``, '' where one lacks a column, and ``ROOT``.

    Labels are classes where there is a taxonomy, and the rows that it drops are left out.
    """
    tables = []
    for manifest in manifests:
        table = manifest.table
        if taxonomy is not None:
            table = apply_taxonomy(table, dict(taxonomy))
            _log_left_out(manifest, table)
        columns = {name: column_of(table, name) for name in COLUMNS}
        tables.append(pd.DataFrame(columns).assign(**{ROOT: str(manifest.root)}))
    return pd.concat(tables, ignore_index=True)


def _log_left_out(manifest: Manifest, kept: pd.DataFrame) -> None:
    labels = manifest.table.loc[manifest.table.index.difference(kept.index), "label"]
    if len(labels):
        counts = ", ".join(f"{label} {count}" for label, count in labels.value_counts().items())
        log.info("%s: left out by the taxonomy: %s", manifest.path, counts)


def drop_unlabelled(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a label, numbered anew."""
    unlabelled = table["label"] == ""
    if not unlabelled.any():
        return table
    log.warning("%d rows of mid or audit have no label and are left out", unlabelled.sum())
    return table[~unlabelled].reset_index(drop=True)


def find_looks(config: Config, table: pd.DataFrame) -> dict[str, InstrumentLook]:
    configured = config.data.preprocess.instruments
    instruments = sorted(table["instrument"].unique())
    if unknown := sorted(set(configured) - set(instruments)):
        raise ConfigError(
            f"data.preprocess.instruments: {', '.join(unknown)} is in no manifest; the manifests "
            f"have {', '.join(instruments)}{suggest(unknown[0], instruments)}"
        )
    looks = {}
    for instrument in instruments:
        rows = table[table["instrument"] == instrument]
        settings = configured.get(instrument, InstrumentPreprocessConfig())
        roots = [Path(root) for root in rows[ROOT]]
        look = find_look(instrument, settings, list(rows["image"]), roots)
        looks[instrument] = look
        found = (
            f"{look.polarity_votes:.0%} of the images looked at"
            if settings.polarity == "auto"
            else "as configured"
        )
        turned = "; turned to dark on light" if look.invert else ""
        log.info("%s: %s (%s)%s", instrument, look.polarity.replace("_", " "), found, turned)
    return looks
