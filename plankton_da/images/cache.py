"""Preprocessed pixels of many images: from a memory map on disk, or decoded at each read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import DataError, ImageError
from plankton_da.images.decoder import Decoder
from plankton_da.images.memory_map import MemoryMap, open_memory_map
from plankton_da.images.parallel import decode_all
from plankton_da.images.preprocess import Preprocess

_LISTED = 20

_log = logging.getLogger(__name__)


class PixelSource:
    """The pixels of a table's rows. Picklable: a memory map travels as its path."""

    def __init__(
        self, decoder: Decoder, problems: dict[int, ImageError], stored: MemoryMap | None
    ) -> None:
        self._decoder = decoder
        self._stored = stored
        self.problems = problems
        """row -> what is wrong with its image"""
        self.good: NDArray[np.bool_] = np.ones(len(decoder), np.bool_)
        """(N,): False where there is a problem"""
        self.good[list(problems)] = False

    def __len__(self) -> int:
        return len(self._decoder)

    @property
    def path(self) -> Path | None:
        """The memory map's file, if there is one."""
        return self._stored.path if self._stored else None

    def key(self) -> str:
        """sha256 (hex) of what decides the pixels: the files' size and time, and the steps."""
        return self._decoder.key()

    def read(self, row: int) -> NDArray[np.uint8]:
        """uint8 (H, W, C), the caller's own copy.

        Raises:
            ImageError: the row's image is not good.
        """
        self._demand_good(row)
        if self._stored is None:
            return self._decoder.read(int(row))
        pixels: NDArray[np.uint8] = self._stored.pixels[row].copy()
        return pixels

    def read_many(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """uint8 (B, H, W, C), the caller's own copy.

        Raises:
            ImageError: one of the rows' images is not good.
        """
        for row in rows:
            self._demand_good(int(row))
        if self._stored is not None:
            taken: NDArray[np.uint8] = self._stored.pixels[np.asarray(rows, np.int64)]
            return taken
        pixels = np.empty((len(rows), *self._decoder.shape), np.uint8)
        for place, row in enumerate(rows):
            pixels[place] = self._decoder.read(int(row))
        return pixels

    def _demand_good(self, row: int) -> None:
        if problem := self.problems.get(int(row)):
            raise ImageError(problem.code, problem.words)


def open_pixels(
    refs: Sequence[str],
    roots: Path | Sequence[Path],
    instruments: str | Sequence[str],
    preprocess: Preprocess,
    *,
    folder: Path | None = None,
    workers: int = 0,
    on_bad_image: Literal["error", "skip"] = "error",
    progress: bool = False,
) -> PixelSource:
    """Decode every image once, and keep the pixels in ``folder`` if one is given.

    The memory map is used again by a later call with the same images and steps, and made anew when
    a file's size or time changed. Without a folder the images are decoded all the same, to find
    the bad ones before any work starts, and again at each read.

    Args:
        refs: one per row.
        roots: the folder that the refs are relative to, or one per row.
        instruments: the instrument that took all the images, or one per row.
        preprocess: must know every instrument.
        folder: where memory maps are kept; N * H * W * C bytes.
        workers: threads, or processes where there are many images; 0 and 1 mean one.
        on_bad_image: ``error`` or ``skip`` (see ``PixelSource.good`` and ``.problems``).
        progress: show a bar on stderr, if that is a terminal.

    Raises:
        DataError: an instrument is unknown; or, with ``error``, images are bad: names them.
        OutputError: the folder cannot be written to, or is full.
    """
    decoder = Decoder(refs, roots, instruments, preprocess)
    if folder is None or not refs:
        stored, problems = None, decode_all(decoder, workers, "checking images", progress)
    else:
        stored = open_memory_map(decoder, folder, workers, progress)
        problems = stored.problems
    if problems and on_bad_image == "error":
        raise DataError(_describe(problems, decoder))
    if problems:
        _log.warning("%d of %d images cannot be read", len(problems), len(decoder))
    return PixelSource(decoder, problems, stored)


def _describe(problems: dict[int, ImageError], decoder: Decoder) -> str:
    lines = [f"{decoder.refs[row]}: {error}" for row, error in problems.items()]
    if len(lines) > _LISTED:
        lines[_LISTED:] = [f"and {len(lines) - _LISTED} more"]
    return (
        f"{len(problems)} of {len(decoder)} images cannot be read:\n  "
        + "\n  ".join(lines)
        + "\nMend or remove them, or leave them out with data.on_bad_image: skip"
    )
