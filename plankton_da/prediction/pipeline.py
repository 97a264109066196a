"""Decoding beside the model, which never waits for an image longer than it must."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images.guarded import Decoded, GuardedDecoders, Wanted
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import open_image
from plankton_da.prediction.inputs import Item
from plankton_da.prediction.polarity_check import PolarityCheck
from plankton_da.prediction.predictor import Predictor, available_cores


@dataclass(frozen=True)
class Batch:
    """Consecutive items and what became of them."""

    items: Sequence[Item]
    probabilities: NDArray[np.float32]
    """(B, K); a row of NaN where the image failed"""
    errors: list[str]
    """``code: words``, or '' where it did not"""


def classify_items(
    items: Iterator[Item],
    predictor: Predictor,
    root: Path,
    decoders: GuardedDecoders | None = None,
    check: PolarityCheck | None = None,
) -> Generator[Batch]:
    """Classify a stream of items in batches of ``predictor.batch_size``, in order.

    A batch is so many *consecutive items*, whether or not they can be read: what an image shares a
    batch with does not depend on where an earlier run was stopped. At most a few batches of decoded
    images are held, and as many images being decoded as there are cores; ``predictor.streams``
    batches are in the model at a time.

    Parameters
    ----------
    decoders
        None: decode in threads of this process, which an image can hang or kill.
    check
        Is shown the decoded images.
    """
    cores = available_cores()
    ahead: deque[Future[tuple[Batch, list[Decoded]]]] = deque()
    pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")
    models = ThreadPoolExecutor(predictor.streams, thread_name_prefix="model")

    def predict(batch: list[Item], decoding: Future[list[Decoded]]) -> tuple[Batch, list[Decoded]]:
        decoded = decoding.result()
        return predict_items(batch, decoded, predictor), decoded

    try:
        more = True
        while more or ahead:
            while more and len(ahead) < 2 * cores + 2 + predictor.streams:
                batch = list(islice(items, predictor.batch_size))
                more = len(batch) == predictor.batch_size
                if batch:
                    future = pool.submit(decode_items, batch, predictor.preprocess, root, decoders)
                    ahead.append(models.submit(predict, batch, future))
            if ahead:
                done, decoded = ahead.popleft().result()
                if check is not None:
                    _show(check, done.items, decoded)
                yield done
        if check is not None:
            check.end()
    finally:
        if decoders is not None:
            decoders.close()  # else an image that hangs would be waited for, after Ctrl-C too
        pool.shutdown(wait=True, cancel_futures=True)
        models.shutdown(wait=True, cancel_futures=True)


def decode_items(
    items: Sequence[Item], preprocess: Preprocess, root: Path, decoders: GuardedDecoders | None
) -> list[Decoded]:
    """Pixels, or what is wrong, for each item; without ``decoders``, in this thread."""
    if decoders is None:
        return [_pixels(item, preprocess, root) for item in items]
    wanted = [Wanted(item.image, item.instrument) for item in items if item.problem is None]
    decoded = iter(decoders.decode(wanted))
    return [next(decoded) if item.problem is None else item.problem for item in items]


def _pixels(item: Item, preprocess: Preprocess, root: Path) -> Decoded:
    if item.problem is not None:
        return item.problem
    try:
        return preprocess(open_image(item.image, root), item.instrument)
    except ImageError as error:
        return error
    except MemoryError:
        return ImageError("too_large", "not enough memory to decode it")


def predict_items(items: Sequence[Item], decoded: Sequence[Decoded], predictor: Predictor) -> Batch:
    """One batch through the model."""
    probabilities = np.full((len(items), len(predictor.classes)), np.nan, np.float32)
    errors = [str(pixels) if isinstance(pixels, ImageError) else "" for pixels in decoded]
    for instrument, chosen in _places(items, decoded).items():
        stack = np.stack([np.asarray(decoded[place]) for place in chosen])  # (n, H, W, C)
        probabilities[chosen] = predictor.probabilities(stack, instrument)
    return Batch(items, probabilities, errors)


def _places(items: Sequence[Item], decoded: Sequence[Decoded]) -> dict[str, list[int]]:
    """Instrument -> where its images are that could be decoded."""
    places: dict[str, list[int]] = {}
    for place, (item, pixels) in enumerate(zip(items, decoded, strict=True)):
        if not isinstance(pixels, ImageError):
            places.setdefault(item.instrument, []).append(place)
    return places


def _show(check: PolarityCheck, items: Sequence[Item], decoded: Sequence[Decoded]) -> None:
    for instrument, chosen in _places(items, decoded).items():
        if check.wants(instrument):
            check.see(instrument, np.stack([np.asarray(decoded[place]) for place in chosen]))
