"""The images of a table's rows, opened and preprocessed when asked for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import file_of, open_image
from plankton_da.images.rois import files_of


class Decoder:
    """Rows -> pixels. Roots and instruments are one for all rows, or one per row."""

    def __init__(
        self,
        refs: Sequence[str],
        roots: Path | Sequence[Path],
        instruments: str | Sequence[str],
        preprocess: Preprocess,
    ) -> None:
        self.refs = list(refs)
        self.preprocess = preprocess
        self._roots = roots if isinstance(roots, Path) else list(roots)
        self._instruments = instruments if isinstance(instruments, str) else list(instruments)
        for name, column in (("roots", self._roots), ("instruments", self._instruments)):
            if isinstance(column, list) and len(column) != len(self.refs):
                raise ValueError(f"{len(self.refs)} refs, but {len(column)} {name}")
        for instrument in {instruments} if isinstance(instruments, str) else set(instruments):
            preprocess.look(instrument)

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every row."""
        return (self.preprocess.image_size, self.preprocess.image_size, self.preprocess.channels)

    @property
    def row_bytes(self) -> int:
        """Size of a row's pixels."""
        return math.prod(self.shape)

    def root(self, row: int) -> Path:
        """The folder that the row's ref is relative to."""
        return self._roots if isinstance(self._roots, Path) else self._roots[row]

    def instrument(self, row: int) -> str:
        """The instrument that took the row's image."""
        return self._instruments if isinstance(self._instruments, str) else self._instruments[row]

    def read(self, row: int) -> NDArray[np.uint8]:
        """uint8 (H, W, C).

        Raises:
            ImageError: the image cannot be read.
        """
        image = open_image(self.refs[row], self.root(row))
        return self.preprocess(image, self.instrument(row))

    def key(self) -> str:
        """sha256 (hex) of what decides the pixels: the files' size and time, and the steps."""
        digest = hashlib.sha256(self.preprocess.hash().encode())
        states: dict[str, str] = {}  # one archive holds many images
        for row, ref in enumerate(self.refs):
            path = str(file_of(ref, self.root(row))[0].absolute())
            if path not in states:
                states[path] = _state(path)
            line = "\0".join((ref, path, states[path], self.instrument(row)))
            digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()


def _state(path: str) -> str:
    try:
        found = [each.stat() for each in files_of(Path(path))]
    except (OSError, ValueError):
        return "missing"
    return " ".join(f"{each.st_size} {each.st_mtime_ns}" for each in found)


def decode_block(
    decoder: Decoder, rows: range, file: Path | None, offset: int
) -> list[tuple[int, str, str]]:
    """Decode some rows; if there is a ``file``, write their pixels into it from ``offset`` on.

    Rows that cannot be read are written black.

    Returns:
        Row, code and words of each problem.

    Raises:
        OSError: the file cannot be written.
    """
    problems = []
    pixels = np.zeros((len(rows), *decoder.shape), np.uint8)
    for place, row in enumerate(rows):
        try:
            pixels[place] = decoder.read(row)
        except ImageError as error:
            problems.append((row, error.code, error.words))
    if file is not None:
        # written, not mapped: on a full disk a write raises, a mapped page kills the process
        with file.open("r+b") as opened:
            opened.seek(offset)
            opened.write(pixels.data)
    return problems
