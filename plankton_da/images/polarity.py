"""Whether an instrument shows dark organisms on light ground or light ones on dark.

No adaptation repairs a wrong polarity, and networks trained on photographs want dark on light, so
it is settled before anything is learnt.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import DataError, ImageError
from plankton_da.images.preprocess import Crop, InstrumentLook, border_median, crop, gray_pixels
from plankton_da.images.refs import open_image

if TYPE_CHECKING:
    from plankton_da.config import InstrumentPreprocessConfig

Polarity: TypeAlias = Literal["dark_on_light", "light_on_dark"]

SAMPLE = 200
"""images of an instrument that vote"""
DOUBTFUL_VOTES = 0.75
"""a smaller majority is worth a warning"""
_FAINT = 8
"""gray levels; an image whose largest deviation from its border is smaller shows no object"""
_ENOUGH = 250_000
"""pixels of an image that are looked at; of larger ones every second, third, ..."""

_log = logging.getLogger(__name__)


def estimate_polarity(images: Iterable[NDArray[np.uint8]]) -> tuple[Polarity, float]:
    """Majority vote of gray images, each uint8 (h, w), about the polarity of their instrument.

    An image votes by its object: the pixels that deviate from the border's median by more than
    half as much as the most deviating ones do. If they are darker than the border, it votes
    dark_on_light. Images without an object do not vote.

    Returns:
        The polarity and the share of votes for it, 0.5 to 1; (dark_on_light, 0.0) if nobody votes.
    """
    votes = [vote for vote in map(_vote, images) if vote != 0]
    if not votes:
        return "dark_on_light", 0.0
    dark = sum(vote < 0 for vote in votes) / len(votes)
    return ("dark_on_light", dark) if dark >= 0.5 else ("light_on_dark", 1 - dark)


def _vote(pixels: NDArray[np.uint8]) -> int:
    """-1: the object is darker than the border; 1: lighter; 0: there is none."""
    ground = np.int16(border_median(pixels))
    step = max(1, math.isqrt(pixels.size // _ENOUGH))
    deviation = pixels[::step, ::step].astype(np.int16) - ground
    size = np.abs(deviation)
    largest = np.percentile(size, 99.5)  # a dead pixel is no object
    if largest < _FAINT:
        return 0
    return int(np.sign(deviation[size > largest / 2].sum()))


def find_look(
    instrument: str,
    settings: InstrumentPreprocessConfig,
    refs: Sequence[str],
    roots: Path | Sequence[Path],
) -> InstrumentLook:
    """Settle how one instrument's images are turned to the common look.

    With ``polarity: auto``, up to 200 of its images, evenly spread over ``refs``, vote; images that
    cannot be read do not.

    Args:
        instrument: its name, for messages.
        settings: what the config says about it.
        refs: its images.
        roots: the folder that the refs are relative to, or one per ref.

    Raises:
        DataError: none of the sampled images can be read.
    """
    sides: Crop = (
        settings.crop.top,
        settings.crop.bottom,
        settings.crop.left,
        settings.crop.right,
    )
    if settings.polarity != "auto":
        polarity: Polarity = settings.polarity
        return InstrumentLook(invert=polarity == "light_on_dark", crop=sides, polarity=polarity)
    rows = np.unique(np.linspace(0, len(refs) - 1, min(SAMPLE, len(refs))).round().astype(int))
    sample = [(refs[row], roots if isinstance(roots, Path) else roots[row]) for row in rows]
    problems: list[str] = []
    found, votes = estimate_polarity(_readable(sample, sides, problems))
    if len(problems) == len(sample):
        raise DataError(
            f"{instrument}: none of {len(sample)} sampled images can be read, so its polarity "
            f"cannot be found. The first: {problems[0] if problems else 'there are no images'}"
        )
    if votes < DOUBTFUL_VOTES:
        _log.warning(
            "%s: its images disagree about their polarity (%.0f%% say %s). If that is wrong, set "
            "data.preprocess.instruments.%s.polarity to dark_on_light or light_on_dark",
            *(instrument, 100 * votes, found, instrument),
        )
    return InstrumentLook(
        invert=found == "light_on_dark", crop=sides, polarity=found, polarity_votes=votes
    )


def _readable(
    sample: Sequence[tuple[str, Path]], sides: Crop, problems: list[str]
) -> Iterator[NDArray[np.uint8]]:
    for ref, root in sample:
        try:
            yield crop(gray_pixels(open_image(ref, root)), sides)
        except ImageError as error:
            problems.append(f"{ref}: {error}")
