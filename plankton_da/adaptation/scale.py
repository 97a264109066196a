"""The pixel sizes of the two cameras: whether they can be right, and one scale for both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from plankton_da.adaptation.tables import ROOT
from plankton_da.config import PreprocessConfig
from plankton_da.images.physical_scale import SizedImages, with_scale
from plankton_da.images.preprocess import Preprocess
from plankton_da.manifests.pixel_sizes import median_sizes, size_remarks

log = logging.getLogger(__name__)


def in_scale(
    preprocess: Preprocess, settings: PreprocessConfig, tables: Sequence[pd.DataFrame | None]
) -> Preprocess:
    """The preprocessing with the scale that the config, or a bundle to start from, asks for.

    Sizes that are likely in a wrong unit are warned of, whatever the scale.

    Parameters
    ----------
    tables
        with the columns image, instrument, pixel_size_um and ``ROOT``

    Raises
    ------
    DataError
        An instrument's pixel size is not known, or is not one.
    """
    given = [table for table in tables if table is not None]
    for remark in size_remarks(median_sizes(given)):
        log.warning(remark)
    if settings.scale == "fit":
        return preprocess
    if preprocess.scale == "physical":  # a bundle's, which its network is used to
        settings = settings.model_copy(update={"um_per_pixel": preprocess.um_per_pixel})
    images = {
        str(name): SizedImages(
            list(rows["image"]), [Path(root) for root in rows[ROOT]], list(rows["pixel_size_um"])
        )
        for name, rows in pd.concat(given).groupby("instrument")
    }
    return with_scale(preprocess, settings, images)
