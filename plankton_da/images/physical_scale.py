"""One scale for several instruments: what is a millimetre long in one is as long in the other.

An instrument has one pixel size: two magnifications of one camera show other organisms, are as far
apart as two cameras, and are to have two names.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plankton_da.errors import DataError, ImageError
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.images.refs import open_image

if TYPE_CHECKING:
    from plankton_da.config import PreprocessConfig

SAMPLE = 200
"""images of an instrument whose extent is looked at"""
FITTING = 0.95
"""share of the images of the instrument with the largest organisms that keep the scale"""
SAME = 0.05
"""relative difference up to which two pixel sizes are one"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SizedImages:
    """Images of one instrument."""

    refs: Sequence[str]
    roots: Sequence[Path]
    sizes: Sequence[str]
    """``pixel_size_um`` of each, '' where there is none"""


def with_scale(
    preprocess: Preprocess, settings: PreprocessConfig, images: Mapping[str, SizedImages]
) -> Preprocess:
    """The preprocessing with the scale that the config asks for.

    Args:
        preprocess: knows every instrument of ``images``.
        settings: ``scale``, ``um_per_pixel`` and the instruments' ``pixel_size_um``. Without
            ``um_per_pixel``, 95% of up to 200 images of the instrument with the largest organisms
            fit into the square.
        images: instrument -> its images.

    Raises:
        DataError: an instrument's pixel size is not known, or is not one.
    """
    if settings.scale == "fit":
        return preprocess
    looks, problems = dict(preprocess.instruments), []
    for name, mine in images.items():
        configured = settings.instruments.get(name)
        try:
            size = _one_size(name, mine.sizes, configured.pixel_size_um if configured else None)
        except DataError as error:
            problems.append(str(error))
        else:
            looks[name] = looks[name].model_copy(update={"pixel_size_um": size})
    if problems:
        raise DataError("\n".join([*problems, "Or keep data.preprocess.scale: fit"]))
    um_per_pixel = settings.um_per_pixel
    if um_per_pixel is None:
        extents = [_extent_um(looks[name], mine) for name, mine in images.items()]
        um_per_pixel = float(f"{max(extents) / preprocess.image_size:.4g}")
    square = um_per_pixel * preprocess.image_size
    for name in images:
        factor = (looks[name].pixel_size_um or 0) / um_per_pixel
        _log.info("%s: %.3g µm a pixel, resized by %.3g", name, looks[name].pixel_size_um, factor)
    _log.info("the square shows %.4g mm; what is larger is shrunk to fit", square / 1000)
    made = preprocess.model_dump() | {
        "scale": "physical",
        "um_per_pixel": um_per_pixel,
        "instruments": looks,
    }
    return Preprocess.model_validate(made)


def require_same_sizes(preprocess: Preprocess, sizes: Mapping[str, float], where: str) -> None:
    """Refuse images whose pixels are of another size than those that were learnt from.

    Args:
        sizes: instrument -> micrometres, as the images' manifest has them.
        where: the manifest, for people.

    Raises:
        DataError: scale is physical, and a size is another.
    """
    if preprocess.scale == "fit":
        return
    for name, size in sizes.items():
        look = preprocess.instruments.get(name)
        if look is None or look.pixel_size_um is None or _same(size, look.pixel_size_um):
            continue
        raise DataError(
            f"{where}: pixels of {name} are {size:g} µm wide, but the network was trained with "
            f"{look.pixel_size_um:g} µm and keeps the physical scale; correct pixel_size_um, or "
            "train with these images as another instrument"
        )


def _one_size(name: str, texts: Sequence[str], configured: float | None) -> float:
    given = np.array([float(text) for text in set(texts) if text])
    lacking = sum(not text for text in texts)
    if configured is not None:
        given = np.append(given, configured)
    elif lacking:
        raise DataError(
            f"{name}: {lacking} of {len(texts)} rows have no pixel_size_um, which scale: physical "
            f"needs; fill the column, or set data.preprocess.instruments.{name}.pixel_size_um"
        )
    if not _same(given.min(), given.max()):
        raise DataError(
            f"{name}: pixels of {given.min():g} to {given.max():g} µm, but scale: physical takes "
            "one size for an instrument; build a manifest for each magnification with a name of "
            "its own (--instrument), or mend the sizes"
        )
    return float(np.median(given))


def _extent_um(look: InstrumentLook, images: SizedImages) -> float:
    """What ``FITTING`` of an instrument's images do not exceed with their longer side."""
    count = len(images.refs)
    rows = np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).round().astype(int))
    top, bottom, left, right = look.crop
    sides = []
    for row in rows.tolist():
        try:
            width, height = open_image(images.refs[row], images.roots[row]).size
        except ImageError:
            continue  # told of where all images are read
        sides.append(max(width - left - right, height - top - bottom, 1))
    return float(np.quantile(sides, FITTING)) * (look.pixel_size_um or 0) if sides else 1.0


def _same(one: float, other: float) -> bool:
    return abs(one / other - 1) <= SAME
