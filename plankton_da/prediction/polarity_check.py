"""Whether the images look like those of the instrument that they are taken for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from plankton_da.images.polarity import DOUBTFUL_VOTES, estimate_polarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plankton_da.images.preprocess import Preprocess

log = logging.getLogger(__name__)

_SAMPLE = 100
_FEWEST = 10


class PolarityCheck:
    """Looks at the first 100 decoded images of each instrument, and warns once.

    Preprocessed images are dark on light; where most are not, the instrument is not theirs.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        self._preprocess = preprocess
        self._seen: dict[str, list[NDArray[np.uint8]]] = {}
        self._done: set[str] = set()

    def wants(self, instrument: str) -> bool:
        """Whether more images of it would be looked at."""
        return instrument not in self._done

    def see(self, instrument: str, pixels: NDArray[np.uint8]) -> None:
        """Take notice of preprocessed images, uint8 (N, H, W, C)."""
        if instrument in self._done:
            return
        seen = self._seen.setdefault(instrument, [])
        seen.extend(pixels[: _SAMPLE - len(seen), :, :, pixels.shape[3] // 2])  # gray, or green
        if len(seen) == _SAMPLE:
            self._judge(instrument)

    def end(self) -> None:
        """There are no more images: fewer must do."""
        for instrument in list(self._seen):
            self._judge(instrument)

    def _judge(self, instrument: str) -> None:
        self._done.add(instrument)
        seen = self._seen.pop(instrument)
        look = self._preprocess.look(instrument)
        if len(seen) < _FEWEST or look.polarity_votes < DOUBTFUL_VOTES:
            return
        found, votes = estimate_polarity(seen)
        if found == "dark_on_light" or votes < DOUBTFUL_VOTES:
            return
        light, dark = "light organisms on dark ground", "dark organisms on light ground"
        shown, expected = (dark, light) if look.polarity == "light_on_dark" else (light, dark)
        others = [name for name in self._preprocess.instruments if name != instrument]
        log.warning(
            "%.0f%% of the first %d images show %s, but those of %s show %s: another camera's? "
            "Labels would be worth little. If so, say --instrument%s",
            *(100 * votes, len(seen), shown, instrument, expected),
            f" ({' or '.join(others)})" if others else "",
        )
