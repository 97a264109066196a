"""The rows that a run works with: read, checked, and divided."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from plankton_da.adaptation.few_labels import require_few_labels
from plankton_da.adaptation.source_free import check_target
from plankton_da.adaptation.tables import COLUMNS, concatenate, drop_unlabelled
from plankton_da.config import Config
from plankton_da.manifests.pairs import check_pair
from plankton_da.manifests.splits import mid_split
from plankton_da.manifests.table import Manifest, read_manifest
from plankton_da.manifests.taxonomy import read_taxonomy
from plankton_da.networks.bundle import BundleInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RunRows:
    """Tables as ``tables.concatenate`` makes them, one for each use."""

    mid: pd.DataFrame
    """labelled, every row with a split; none where a run is source-free"""
    target: pd.DataFrame
    """of all splits"""
    audit: pd.DataFrame | None
    few: pd.DataFrame | None
    classes: tuple[str, ...]
    taxonomy: dict[str, str] | None
    mid_manifests: list[Manifest]
    target_manifests: list[Manifest]


def read_rows(config: Config, start: BundleInfo | None) -> RunRows:
    """Read the manifests of a run, and settle labels and splits.

    Parameters
    ----------
    start
        where ``data.mid`` is null, and only there: the bundle that stands for mid

    Raises
    ------
    ManifestError
        A manifest has problems, or the manifests do not belong together; all are listed.
    """
    mid = _read(config.data.mid)
    target = _read(config.data.target)
    audit = _read(config.data.audit)
    few = _read(config.data.target_labelled)
    taxonomy = read_taxonomy(config.data.taxonomy) if config.data.taxonomy else None

    target_table = concatenate(target, None)
    of_target = Manifest.of(target_table, Path(), Path(config.data.target[0]))
    if config.data.mid is None:
        if start is None:
            raise ValueError("without mid's images, the bundle to start from must be given")
        mid_table = target_table.iloc[:0]
        check_target(of_target, start)
    else:
        mid_table = drop_unlabelled(concatenate(mid, taxonomy))
        of_mid = Manifest.of(mid_table, Path(), Path(config.data.mid[0]))
        check_pair([of_mid], [of_target]).raise_if_any()
        mid_table = mid_split(mid_table, config.seed)
    audit_table = drop_unlabelled(concatenate(audit, taxonomy)) if audit else None
    few_table = drop_unlabelled(concatenate(few, taxonomy)) if few else None
    learnt_labels = mid_table.loc[mid_table["split"] == "train", "label"]
    classes = start.classes if start else tuple(sorted(learnt_labels.unique()))
    log.info(
        "learns from %s (%s, %d classes), adapts to %s (%d images)",
        " and ".join(start.mid_instruments if start else of_mid.instruments),
        "as the bundle has it" if start else f"{len(learnt_labels)} labelled images",
        len(classes),
        " and ".join(of_target.instruments),
        target_table["split"].isin(["", "train"]).sum(),
    )
    if few_table is not None:
        require_few_labels(few_table, audit_table, target_table, classes)
    return RunRows(mid_table, target_table, audit_table, few_table, classes, taxonomy, mid, target)


def _read(paths: Sequence[str] | None) -> list[Manifest]:
    return [read_manifest(path, COLUMNS) for path in paths or ()]
