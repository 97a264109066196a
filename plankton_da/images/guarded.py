"""Decoding that one bad image cannot stop: it may hang, or kill the process that decodes it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from plankton_da.images.guarded_decoder import Decoded, GuardedDecoder, Wanted
from plankton_da.images.preprocess import Preprocess

__all__ = ["Decoded", "GuardedDecoders", "Wanted"]

_LOOKS_PER_TIMEOUT = 20


class GuardedDecoders:
    """Several child processes; used in a ``with`` block, by as many threads."""

    def __init__(
        self, preprocess: Preprocess, root: Path, count: int, image_timeout: float
    ) -> None:
        """``root``: what refs are relative to; ``image_timeout``: seconds that an image may take.

        The first process is started at once, the others when they are needed.
        """
        self._timeout = image_timeout
        self._all = [GuardedDecoder(preprocess, root, image_timeout) for _ in range(count)]
        self._free: queue.LifoQueue[GuardedDecoder] = queue.LifoQueue()
        for decoder in self._all:
            self._free.put(decoder)
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._kill_the_slow, name="slow", daemon=True)

    def __enter__(self) -> GuardedDecoders:
        self._all[-1].start()
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        for decoder in self._all:
            decoder.end()

    def close(self) -> None:
        """Kill the processes, whatever they do; ``decode`` raises ``CancelledError`` then."""
        self._ended.set()
        for decoder in self._all:
            decoder.close()

    def decode(self, images: Sequence[Wanted]) -> list[Decoded]:
        """Pixels, uint8 (H, W, C), or what is wrong, for each image.

        Raises:
            DataError: a process does not even start.
        """
        decoder = self._free.get()
        try:
            return decoder.decode(images)
        finally:
            self._free.put(decoder)

    def _kill_the_slow(self) -> None:
        """Counts in looks, not by the clock: a laptop that slept has not decoded for hours."""
        looks = [(0, 0)] * len(self._all)
        while not self._ended.wait(self._timeout / _LOOKS_PER_TIMEOUT):
            for number, decoder in enumerate(self._all):
                progress, seen = looks[number]
                if decoder.waiting and decoder.progress == progress:
                    seen += 1
                    if seen > _LOOKS_PER_TIMEOUT:
                        decoder.kill_as_slow(progress)
                else:
                    seen = 0
                looks[number] = (decoder.progress, seen)
