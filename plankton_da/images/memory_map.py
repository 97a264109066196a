"""Decoded images in one file on disk: a ``.npy`` of uint8 (N, H, W, C), then the problems as JSON.

The file's name is a hash of everything that decides the content, and a file gets its name only once
it is whole and on the disk. So whatever bears the name is right, whenever a build died.
"""

from __future__ import annotations

import io
import json
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from plankton_da.errors import ImageError, OutputError
from plankton_da.images.decoder import Decoder
from plankton_da.images.parallel import decode_all

_BUILDING = ".building"
_ABANDONED_S = 3600
"""a file under construction that nobody wrote to for so long is a dead process's"""


class MemoryMap:
    """A finished file. Each process that gets a pickled copy maps it anew."""

    def __init__(self, path: Path, problems: dict[int, ImageError]) -> None:
        self.path = path
        self.problems = problems
        self._pixels: NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (N, H, W, C), read-only; rows with problems are black."""
        if self._pixels is None:
            self._pixels = np.load(self.path, mmap_mode="r").view(np.ndarray)
        return self._pixels

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}


def open_memory_map(decoder: Decoder, folder: Path, workers: int, progress: bool) -> MemoryMap:
    """The memory map of the decoder's rows (one at least) in ``folder``, made if it is not there.

    Raises:
        OutputError: the folder cannot be written to, or is full.
    """
    path = folder.absolute() / f"{decoder.key()[:32]}.npy"
    problems = _finished(path, decoder)
    if problems is None or _any_mended(problems, decoder):
        try:
            problems = _build(path, decoder, workers, progress)
        except OSError as error:
            needed_gb = len(decoder) * decoder.row_bytes / 1e9
            raise OutputError(
                f"{folder}: decoded images cannot be kept here: {error.strerror or error}. "
                f"They take {needed_gb:.2f} GB; make room, or set "
                "data.cache: none"
            ) from error
    return MemoryMap(path, problems)


def _header(decoder: Decoder) -> bytes:
    file = io.BytesIO()
    shape = (len(decoder), *decoder.shape)
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _finished(path: Path, decoder: Decoder) -> dict[int, ImageError] | None:
    header = _header(decoder)
    try:
        with path.open("rb") as file:
            if file.read(len(header)) != header:
                return None
            file.seek(len(header) + len(decoder) * decoder.row_bytes)
            found = json.loads(file.read())
        return {row: ImageError(code, words) for row, code, words in found["problems"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _any_mended(problems: dict[int, ImageError], decoder: Decoder) -> bool:
    """Whether an image can be read now though its file looks unchanged (a permission, a server)."""
    for row in problems:
        with suppress(ImageError):
            decoder.read(row)
            return True
    return False


def _build(path: Path, decoder: Decoder, workers: int, progress: bool) -> dict[int, ImageError]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    header = _header(decoder)
    building = path.with_name(f"{path.stem}.{uuid.uuid4().hex}{_BUILDING}")
    try:
        building.write_bytes(header)
        problems = decode_all(decoder, workers, "decoding images", progress, building, len(header))
        rows = [[row, problem.code, problem.words] for row, problem in problems.items()]
        with building.open("r+b") as file:
            file.seek(len(header) + len(decoder) * decoder.row_bytes)
            file.write(json.dumps({"problems": rows}).encode())
            file.flush()
            os.fsync(file.fileno())
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)
    return problems


def _remove_abandoned(folder: Path) -> None:
    for leftover in folder.glob(f"*{_BUILDING}"):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_S:
                leftover.unlink()
