"""All rows of a table decoded, by several workers, with a bar.

Few images are decoded by threads, which start at once; many by processes: small images are mostly
Python's work, and threads of one process take turns at that.
"""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from plankton_da.errors import ImageError
from plankton_da.images.decoder import Decoder, decode_block
from plankton_da.images.decoding_process import DecodingProcess, Problems

_BLOCK = 32
_MANY = 4000
"""images; about what one process decodes while another starts"""


def decode_all(
    decoder: Decoder,
    workers: int,
    what: str,
    progress: bool,
    file: Path | None = None,
    offset: int = 0,
) -> dict[int, ImageError]:
    """Decode every row, and write the pixels one after the other into ``file``, if there is one.

    Args:
        decoder: the rows.
        workers: how many work at once; 0 and 1 mean one.
        what: the bar's words.
        progress: show a bar on stderr, if that is a terminal.
        file: an existing file.
        offset: where in it the first row's pixels go.

    Returns:
        Row -> what is wrong with its image, in the order of the rows.

    Raises:
        OSError: the file cannot be written.
        DataError: a process died.
    """
    blocks = [
        range(start, min(start + _BLOCK, len(decoder))) for start in range(0, len(decoder), _BLOCK)
    ]
    workers = max(1, min(workers, len(blocks)))
    processes: queue.SimpleQueue[DecodingProcess] = queue.SimpleQueue()

    def work(rows: range) -> tuple[range, Problems]:
        start = offset + rows.start * decoder.row_bytes
        if not many:
            return rows, decode_block(decoder, rows, file, start)
        process = processes.get()
        try:
            return rows, process.decode_block(rows, file, start)
        finally:
            processes.put(process)

    many = workers > 1 and len(decoder) >= _MANY
    problems: Problems = []
    with ExitStack() as stack:
        for _ in range(workers if many else 0):
            processes.put(stack.enter_context(DecodingProcess(decoder)))
        # None: tqdm shows the bar on a terminal only
        disable = None if progress else True
        bar = stack.enter_context(
            tqdm(total=len(decoder), desc=what, unit=" images", disable=disable)
        )
        pool = ThreadPoolExecutor(workers)
        try:
            for done in as_completed([pool.submit(work, rows) for rows in blocks]):
                rows, found = done.result()
                problems += found
                bar.update(len(rows))
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C too: only what runs is waited for
    return {row: ImageError(code, words) for row, code, words in sorted(problems)}
