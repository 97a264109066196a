"""What is to be classified, looked at before anything is done."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from plankton_da.errors import DataError, UsageError
from plankton_da.images.archives import COMPRESSED_TARS
from plankton_da.images.physical_scale import require_same_sizes
from plankton_da.networks.bundle import BundleInfo
from plankton_da.prediction.inputs import Inputs
from plankton_da.prediction.shards import Shard

log = logging.getLogger(__name__)


def open_inputs(
    inputs: Sequence[Path],
    out: Path,
    info: BundleInfo,
    instrument: str | None,
    shard: Shard | None,
    sort_to: Path | None,
) -> Inputs:
    """The inputs of ``classify``, if they can be classified by this bundle into this result.

    Raises
    ------
    UsageError
        The folder to sort into would become an input of the next run.
    DataError
        There is no image, or an instrument that the bundle does not know.
    """
    found = Inputs(
        inputs,
        out.parent,
        instrument=instrument or info.target_instruments[0],
        override=instrument is not None,
        shard=shard,
    )
    for name in found.instruments:
        info.preprocess.look(name)
    if info.preprocess.scale == "physical":
        require_same_sizes(info.preprocess, found.pixel_sizes, "the manifests")
    for folder in found.folders:
        if sort_to is not None and sort_to.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"--sort-into {sort_to} lies in INPUT {folder}: the next run would classify the "
                f"copies; give a folder elsewhere"
            )
    if instrument is None and len(found.manifests) < len(inputs):
        others = [name for name in info.preprocess.instruments if name not in found.instruments]
        log.info(
            "images without a manifest are taken as images of %s, the bundle's target; for %s say "
            "--instrument",
            info.target_instruments[0],
            " or ".join(others) or "another camera",
        )
    if found.is_empty():
        raise DataError(f"{', '.join(map(str, inputs[:20]))}: no image there; nothing to classify")
    return found


def log_ignored(inputs: Inputs) -> None:
    """Say what was passed over; after all inputs were walked through."""
    packed = sum(inputs.ignored[suffix] for suffix in COMPRESSED_TARS)
    if packed:
        log.warning(
            "passed over %d compressed tars, which cannot be read in place: decompress them "
            "(gunzip) to .tar to have their images classified",
            packed,
        )
    if inputs.ignored:
        counts = (f"{n:,} {suffix or 'without suffix'}" for suffix, n in inputs.ignored.items())
        log.info("passed over files that are no images: %s", ", ".join(counts))
