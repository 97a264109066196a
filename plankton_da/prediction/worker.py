"""One of many that open and classify images for a driver that keeps the books."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import BundleError, ImageError
from plankton_da.images.guarded import Decoded, GuardedDecoders
from plankton_da.networks.bundle import bundle_hash, read_bundle_info
from plankton_da.prediction.engine_choice import EngineChooser
from plankton_da.prediction.inputs import Inputs, Item
from plankton_da.prediction.pipeline import Batch, decode_items, predict_items
from plankton_da.prediction.predictor import CORES_VARIABLE, Device
from plankton_da.prediction.prior import PriorCorrection
from plankton_da.prediction.provenance import provenance

_CORES = 4
"""a network of small images gains little from more"""


@dataclass(frozen=True)
class Job:
    """All that a worker must know, wherever it is."""

    bundle: Path
    """its folder, where the worker's machine has it too"""
    files: dict[str, bytes]
    """name -> content of the bundle's files, for machines that do not"""
    model: str
    """``bundle_hash``"""
    options: dict[str, Any]
    """of ``Predictor.open``, without ``device`` and ``prior``"""
    prior: PriorCorrection | None
    instruments: tuple[str, ...]
    root: Path
    """what refs are relative to"""
    image_timeout: float
    """seconds"""


def make_job(
    bundle: Path,
    model: str,
    options: dict[str, Any],
    prior: PriorCorrection | None,
    inputs: Inputs,
    image_timeout: float,
) -> Job:
    """The job of classifying ``inputs`` by a bundle whose hash is ``model``."""
    files = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    folder = bundle.resolve()
    return Job(
        folder, files, model, options, prior, inputs.instruments, inputs.folder, image_timeout
    )


class Answer(NamedTuple):
    """What became of the images of one task."""

    probabilities: NDArray[np.float32]
    """(N, K); a row of NaN where the image failed"""
    errors: list[str]
    samples: list[tuple[str, NDArray[np.uint8]]]
    """instrument and pixels (H, W, C) of each decoded image, if they were asked for"""


class Worker:
    """Decoders and a predictor that stay open; two threads may ask at a time."""

    def __init__(self, job: Job, cores: int, device: Device) -> None:
        self._job = job
        self._cores = cores
        self._device = device

    def open(self) -> dict[str, Any]:
        """Make everything ready; the provenance of the rows to come.

        Raises
        ------
        BundleError, ModelError
            The predictor cannot be opened.
        """
        job = self._job
        os.environ[CORES_VARIABLE] = str(self._cores)
        folder = self._bundle()
        options = dict(job.options)
        engines = EngineChooser(
            folder,
            read_bundle_info(folder),
            options.pop("engine"),
            self._device,
            job.instruments,
            alone=False,
        )
        self._predictor = engines.open(**options)
        self._predictor.prior = job.prior
        for name in job.instruments:
            self._predictor.check_instrument(name)
        preprocess = self._predictor.preprocess
        self._decoders = GuardedDecoders(preprocess, job.root, self._cores, job.image_timeout)
        self._decoders.__enter__()
        self._pool = ThreadPoolExecutor(self._cores, thread_name_prefix="decode")
        self._models = ThreadPoolExecutor(self._predictor.streams, thread_name_prefix="model")
        return provenance(self._predictor, job.image_timeout)

    def classify(self, items: Sequence[Item], sample: bool) -> Answer:
        """Classify consecutive images, in the same batches as everywhere."""
        size = self._predictor.batch_size
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        decoding = [
            self._pool.submit(
                decode_items, batch, self._predictor.preprocess, self._job.root, self._decoders
            )
            for batch in batches
        ]
        # both pools take turns in the order of asking: the other thread's images are decoded
        # while these are in the model
        predicted = [
            self._models.submit(self._predict, batch, future)
            for batch, future in zip(batches, decoding, strict=True)
        ]
        done: list[Batch] = []
        samples: list[tuple[str, NDArray[np.uint8]]] = []
        for each in predicted:
            batch, decoded = each.result()
            done.append(batch)
            samples += [
                (item.instrument, pixels)
                for item, pixels in zip(batch.items, decoded, strict=True)
                if sample and not isinstance(pixels, ImageError)
            ]
        probabilities = np.concatenate([batch.probabilities for batch in done])
        return Answer(probabilities, [error for batch in done for error in batch.errors], samples)

    def _predict(
        self, items: Sequence[Item], decoding: Future[list[Decoded]]
    ) -> tuple[Batch, list[Decoded]]:
        decoded = decoding.result()
        return predict_items(items, decoded, self._predictor), decoded

    def close(self) -> None:
        """End the decoders and remove what was unpacked."""
        if hasattr(self, "_decoders"):
            self._decoders.__exit__(None, None, None)
        if hasattr(self, "_unpacked"):
            self._unpacked.cleanup()

    def _bundle(self) -> Path:
        try:
            if bundle_hash(self._job.bundle) == self._job.model:
                return self._job.bundle
        except BundleError:
            pass  # it is not there on this machine
        self._unpacked = TemporaryDirectory(prefix="plankton_da_bundle_")
        folder = Path(self._unpacked.name)
        for name, content in self._job.files.items():
            (folder / name).write_bytes(content)
        return folder


class Share(NamedTuple):
    """What one worker gets of a machine."""

    cores: int
    gpus: int


def shares_of(resources: Mapping[str, float], device: str) -> list[Share]:
    """The workers that a machine with these resources (``CPU``, ``GPU``) gets.

    One per GPU with an equal part of the cores for ``cuda``; else one per four cores.
    """
    cores = int(resources.get("CPU", 0))
    on_gpus = device == "cuda"
    workers = int(resources.get("GPU", 0)) if on_gpus else max(1, cores // _CORES)
    workers = min(workers, cores)
    return [Share(cores // workers, int(on_gpus)) for _ in range(workers)]
