"""Adaptation without mid's images: a bundle stands for what was learnt from them."""

from __future__ import annotations

from collections.abc import Mapping

from plankton_da.errors import ManifestError
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.manifests.class_rules import LEARNT
from plankton_da.manifests.table import Manifest
from plankton_da.networks.bundle import BundleInfo


def check_target(target: Manifest, start: BundleInfo) -> None:
    """Refuse a target that the bundle cannot be adapted to.

    Raises
    ------
    ManifestError
        Its instrument is one that the bundle learnt from, or it has no row to adapt to.
    """
    if known := sorted(set(target.instruments) & set(start.mid_instruments)):
        raise ManifestError(
            f"{target.path}: the bundle learnt from {', '.join(known)}; the target must be another "
            f"camera, with another name: build its manifest again with --instrument"
        )
    if not target.column("split").isin(LEARNT).any():
        raise ManifestError(
            f"{target.path}: no row to adapt to: all rows are in val or test; leave some in train"
        )


def preprocess_of_start(start: BundleInfo, looks: Mapping[str, InstrumentLook]) -> Preprocess:
    """The bundle's preprocessing for mid's cameras and, with ``looks``, the new ones.

    Cameras that the bundle was adapted to before are forgotten: the network changes under them.
    """
    of_mid = {name: start.preprocess.look(name) for name in start.mid_instruments}
    return start.preprocess.model_copy(update={"instruments": {**of_mid, **looks}})
