"""What a walk finds: an image, its name in the result, and the state that it is in."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from plankton_da.errors import ImageError
from plankton_da.images.refs import encode_name


class Found(NamedTuple):
    """An image, or something that should have held images and cannot be read."""

    object_id: str
    ref: str
    path: str
    """of the file; '' where ``size`` and ``stamp`` say all"""
    size: int = -1
    stamp: int = -1
    problem: ImageError | None = None

    def state(self) -> tuple[int, int, ImageError | None]:
        """Size in bytes, a stamp that changes with the content, and what forbids opening it."""
        if not self.path:
            return self.size, self.stamp, self.problem
        try:
            status = os.stat(self.path)
        except OSError as error:
            return -1, -1, image_error_of(error)
        if not stat.S_ISREG(status.st_mode):
            return -1, -1, ImageError("not_an_image", "not a regular file")
        return status.st_size, status.st_mtime_ns, None


def found_file(path: str, ref: str, object_id: str) -> Found:
    """One file that is to be classified."""
    return Found(text_of(object_id), ref, path)


def text_of(name: str) -> str:
    """A name as text: itself where it is UTF-8, else percent-encoded as in refs."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return encode_name(name)
    return name


def image_error_of(error: OSError) -> ImageError:
    """The row's error for a file or folder that cannot be looked at."""
    if isinstance(error, FileNotFoundError):
        return ImageError("missing", "no such file")
    if isinstance(error, PermissionError):
        return ImageError("permission_denied", "this user may not read it")
    return ImageError("unreadable", error.strerror or str(error))
