"""Small pictures that stand in the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from plankton_da.errors import ImageError
from plankton_da.images.guarded import Decoded, GuardedDecoders, Wanted
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.prediction.predictor import available_cores

SIDE = 160
"""pixels; the longer side of an image"""
_QUALITY = 70
_BLOCK = 16
_SECONDS = 20.0
"""that an image may take"""
_AS_IT_IS = Preprocess(image_size=SIDE, color="rgb", instruments={"": InstrumentLook()})


@dataclass(frozen=True)
class Thumbnails:
    """ref -> ``data:`` URI, or why there is none; refs for which there was no room are in none."""

    pictures: dict[str, str] = field(default_factory=dict)
    problems: dict[str, ImageError] = field(default_factory=dict)


def make_thumbnails(
    refs: Sequence[str], root: Path, room: int, progress: bool = False
) -> Thumbnails:
    """Pictures as the instrument delivered them, in the middle of a square.

    Decoded in processes of their own: an image may have changed since it was classified, and the
    page must not die of it.

    Parameters
    ----------
    refs
        Most wanted first; one that is there twice takes its room twice.
    root
        The folder that refs start from.
    room
        Characters that all pictures may take.
    progress
        A bar on stderr, if that is a terminal.

    Raises
    ------
    DataError
        The processes do not start.
    """
    uses: dict[str, int] = {}
    for ref in refs:
        uses[ref] = uses.get(ref, 0) + 1
    found = Thumbnails()
    left = room
    with closing(_decoded(list(uses), root, progress)) as answers:
        for ref, decoded in answers:
            if isinstance(decoded, ImageError):
                found.problems[ref] = decoded
                continue
            picture = _as_uri(decoded)
            left -= len(picture) * uses[ref]
            if left < 0:
                break
            found.pictures[ref] = picture
    return found


def _decoded(
    refs: Sequence[str], root: Path, progress: bool
) -> Generator[tuple[str, Decoded], None, None]:
    blocks = [refs[start : start + _BLOCK] for start in range(0, len(refs), _BLOCK)]
    if not blocks:
        return
    workers = min(available_cores(), len(blocks))
    with (
        # None: tqdm shows the bar on a terminal only
        tqdm(total=len(refs), desc="pictures", disable=None if progress else True) as bar,
        GuardedDecoders(_AS_IT_IS, root, workers, _SECONDS) as decoders,
        ThreadPoolExecutor(workers) as pool,
    ):
        wanted = ([Wanted(ref, "") for ref in block] for block in blocks)
        # a few blocks ahead of the reader, who may stop when there is no room left
        ahead = [pool.submit(decoders.decode, images) for images in islice(wanted, 2 * workers)]
        for block in blocks:
            answers = ahead.pop(0).result()
            ahead += [pool.submit(decoders.decode, images) for images in islice(wanted, 1)]
            bar.update(len(block))
            yield from zip(block, answers, strict=True)


def _as_uri(pixels: NDArray[np.uint8]) -> str:
    gray = bool((pixels == pixels[:, :, :1]).all())
    file = io.BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if gray else pixels)
    image.save(file, format="WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
