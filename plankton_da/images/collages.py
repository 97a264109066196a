"""Boxes cut out of collages: one picture that holds many particles, as FlowCam writes them.

Decoded collages are kept, because the particles of one are asked for one after the other.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from PIL import Image

from plankton_da.errors import ImageError

KEPT_PIXELS = 32_000_000
"""of all kept collages together; a FlowCam's has 1 to 3 million"""

_BOX = re.compile(r"(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})")

_kept: OrderedDict[Hashable, Image.Image] = OrderedDict()
_lock = threading.Lock()


def cut_out(part: str, key: Hashable, open_collage: Callable[[], Image.Image]) -> Image.Image:
    """The box ``x,y,w,h`` (pixels, from the upper left corner) of a collage.

    Args:
        part: the box.
        key: stands for the collage in its present state.
        open_collage: decodes it; called only where it is not kept.

    Raises:
        ImageError: unreadable where the box is empty or leaves the collage, and all that
            ``open_collage`` raises.
    """
    found = _BOX.fullmatch(part)
    if found is None:
        raise ImageError("unreadable", f"a box is x,y,w,h in pixels; found #{part}")
    x, y, width, height = (int(number) for number in found.groups())
    collage = _collage(key, open_collage)
    if not width or not height or x + width > collage.width or y + height > collage.height:
        raise ImageError(
            "unreadable",
            f"the box x {x}, y {y}, {width} x {height} is not inside the collage's "
            f"{collage.width} x {collage.height} pixels",
        )
    return collage.crop((x, y, x + width, y + height))


def _collage(key: Hashable, open_collage: Callable[[], Image.Image]) -> Image.Image:
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    collage = open_collage()
    with _lock:
        _kept[key] = collage
        while len(_kept) > 1 and sum(map(_pixels, _kept.values())) > KEPT_PIXELS:
            _kept.popitem(last=False)
    return collage


def _pixels(picture: Image.Image) -> int:
    return picture.width * picture.height
