"""Decoding of all images of a manifest, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from plankton_da.errors import DataError, ImageError
from plankton_da.images.refs import open_image

_ROWS_AT_ONCE = 256
_WORTH_PROCESSES = 1000  # rows; starting processes takes as long as decoding these

Failures: TypeAlias = list[tuple[int, str, str]]


def decode_images(
    refs: pa.Array,
    rows: NDArray[np.intp],
    root: Path,
    workers: int | None = None,
    progress: bool = False,
) -> Iterator[tuple[int, str, str]]:
    """Row, code (of ``ImageError.CODES``) and words for each image that does not decode.

    Parameters
    ----------
    refs
        strings, relative to ``root``
    rows
        which of them to open
    workers
        processes; None: one per processor

    Raises
    ------
    DataError
        A process died (of a lack of memory, or a decoder's crash).
    """
    workers = workers or os.cpu_count() or 1
    starts = range(0, len(rows), _ROWS_AT_ONCE)
    parts = (rows[start : start + _ROWS_AT_ONCE] for start in starts)
    with tqdm(
        total=len(rows), unit="image", desc="opening images", disable=None if progress else True
    ) as bar:
        results: Iterator[tuple[int, Failures]]
        work = ((part.tolist(), refs.take(part).to_pylist(), root) for part in parts)
        if workers == 1 or len(rows) < _WORTH_PROCESSES:
            results = (_decode(*job) for job in work)
        else:
            results = _decode_in_processes(work, workers)
        for count, failures in results:
            bar.update(count)
            yield from failures


def _decode_in_processes(
    work: Iterator[tuple[list[int], list[str], Path]], workers: int
) -> Iterator[tuple[int, Failures]]:
    context = multiprocessing.get_context("spawn")  # forking a process with threads may hang it
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[Future[tuple[int, Failures]]] = deque()
        try:
            for job in work:
                waiting.append(pool.submit(_decode, *job))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process that decodes images died, likely of too little memory: use fewer "
                "(--workers 1 names the image in the crash)"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _decode(rows: list[int], refs: list[str], root: Path) -> tuple[int, Failures]:
    failures = []
    for row, ref in zip(rows, refs, strict=True):
        try:
            open_image(ref, root).close()
        except ImageError as error:
            failures.append((row, error.code, error.words))
    return len(rows), failures
