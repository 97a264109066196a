"""Pixels in, probabilities out: one predictor for every driver."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import BundleError, ModelError
from plankton_da.images.preprocess import Preprocess
from plankton_da.networks.bundle_int8 import INT8_FILE
from plankton_da.prediction.cores import CORES_VARIABLE, available_cores
from plankton_da.prediction.files import sha256_of
from plankton_da.prediction.onnx_model import DoubtfulModel, OnnxModel
from plankton_da.prediction.prior import NO_PRIOR, PriorCorrection, find_prior

if TYPE_CHECKING:
    from plankton_da.networks.bundle import Bundle, BundleInfo
    from plankton_da.prediction.torch_model import TorchModel

__all__ = [
    "CORES_VARIABLE",
    "Device",
    "Engine",
    "Layout",
    "Predictor",
    "Views",
    "available_cores",
    "turned",
]

Engine = Literal["auto", "onnx", "onnx-int8", "torch"]
Device = Literal["auto", "cpu", "cuda"]
Views = Literal[1, 4, 8]


ONNX_FILE = "model.onnx"
_FILES = {"onnx": ONNX_FILE, "onnx-int8": INT8_FILE}  # with the statistics of the target alone


class Layout(NamedTuple):
    """How ONNX Runtime shares the cores."""

    streams: int
    """batches that are worked on at a time"""
    threads: int
    """of each"""


class Predictor:
    """A bundle ready for use.

    Engine ``auto`` takes ONNX Runtime on the CPU where the bundle has ``model.onnx``, for the
    target's instruments, and torch for everything else. ``model.onnx`` holds the target's
    BatchNorm statistics, so other instruments always go through torch.
    ``onnx-int8`` has an 8-bit model, where ``quantize`` made one, and has the float model look
    again at images that the two could label differently; ``auto`` never takes it here.
    ``onnx`` and ``torch`` agree within 1e-4, and an image gets the same probabilities in any batch
    as alone within 1e-6; with the same batches they are equal bit for bit.
    ``prior`` is ``none``, ``estimated`` or a table, as ``find_prior`` takes it. ``views`` is how
    many of an image's quarter turns (4), and their mirror images (8), have their probabilities
    averaged; as many times the work. ``layout`` says how many threads may call ``probabilities``
    at a time, and how many more each of them sets to work; None: one, and all cores.
    ``half_precision`` lets torch compute in float16 on a GPU; scores then differ by up to 0.01.

    Raises
    ------
    BundleError
        An engine that the bundle cannot serve, or a damaged ``model.onnx``.
    ModelError
        ``device="cuda"`` without a CUDA device.
    ManifestError
        The table of a prior is not valid.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        engine: Engine = "auto",
        device: Device = "auto",
        batch_size: int = 32,
        prior: str = NO_PRIOR,
        views: Views = 1,
        layout: Layout | None = None,
        half_precision: bool = False,
    ) -> None:
        self.views = views
        self._layout = layout
        self._half_precision = half_precision
        self._start(bundle.info, bundle.folder, bundle, engine, device, batch_size, prior)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        engine: Engine = "auto",
        device: Device = "auto",
        batch_size: int = 32,
        prior: str = NO_PRIOR,
        views: Views = 1,
        layout: Layout | None = None,
        half_precision: bool = False,
    ) -> Predictor:
        """A predictor from a bundle's folder; imports torch only where torch is used."""
        from plankton_da.networks.bundle import read_bundle_info

        predictor = cls.__new__(cls)
        predictor.views = views
        predictor._layout = layout
        predictor._half_precision = half_precision
        predictor._start(read_bundle_info(folder), folder, None, engine, device, batch_size, prior)
        return predictor

    def _start(
        self,
        info: BundleInfo,
        folder: Path | None,
        bundle: Bundle | None,
        engine: Engine,
        device: Device,
        batch_size: int,
        prior: str,
    ) -> None:
        self.info = info
        self.prior: PriorCorrection | None = find_prior(prior, info)
        self.batch_size = batch_size
        self._bundle = bundle
        self._folder = folder
        self._engine_asked = engine
        self.device: Literal["cpu", "cuda"] = _settle_device(device, engine)
        self.engine: Literal["onnx", "onnx-int8", "torch"] = self._settle_engine(engine)
        self._onnx = None if self.engine == "torch" else self._open_onnx()
        self._opening = threading.Lock()
        self._torch: TorchModel | None = self._open_torch() if self.engine == "torch" else None

    @property
    def streams(self) -> int:
        """Threads that may as well call ``probabilities`` at a time: more gain nothing."""
        if self.engine == "torch":
            return 2 if self.device == "cuda" else 1
        return 1 if self._layout is None else self._layout.streams

    @property
    def classes(self) -> tuple[str, ...]:
        """The K classes, in the order of the probabilities' columns."""
        return self.info.classes

    @property
    def preprocess(self) -> Preprocess:
        """What turns an image into the pixels that ``probabilities`` takes."""
        return self.info.preprocess

    @property
    def default_instrument(self) -> str:
        """What took an image of which nothing is known: the bundle's (first) target."""
        return self.info.target_instruments[0]

    def probabilities(self, pixels: NDArray[np.uint8], instrument: str) -> NDArray[np.float32]:
        """Softmax of logits / temperature, corrected where the predictor has a ``prior``.

        Parameters
        ----------
        pixels
            uint8 (N, H, W, C) as ``preprocess`` makes them.

        Returns
        -------
        float32 (N, K)

        Raises
        ------
        BundleError
            An ``onnx`` engine was demanded and ``instrument`` is not a target of this bundle.
        """
        self.check_instrument(instrument)
        batches = [
            self._viewed(pixels[start : start + self.batch_size], instrument)
            for start in range(0, len(pixels), self.batch_size)
        ]
        if not batches:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        probabilities = np.concatenate(batches)
        return probabilities if self.prior is None else self.prior(probabilities, instrument)

    def of_features(
        self, features: NDArray[np.floating[Any]], instrument: str
    ) -> NDArray[np.float32]:
        """The same of what the network's frozen stages gave of pixels, (N, ...), in one batch.

        For a network in memory whose frozen stages were divided from the rest, without ``prior``
        and ``views``.
        """
        if self._torch is None:
            raise ModelError("features of frozen stages go through torch alone")
        return self._torch(features, instrument)

    def check_instrument(self, instrument: str) -> None:
        """Refuse an instrument that the demanded engine cannot serve (``BundleError``)."""
        targets = self.info.target_instruments
        if self._engine_asked.startswith("onnx") and instrument not in targets:
            raise BundleError(
                f"{self._folder}: {_FILES[self._engine_asked]} serves {', '.join(targets)} alone; "
                f"found instrument {instrument}; use --engine auto or torch"
            )

    def _viewed(self, pixels: NDArray[np.uint8], instrument: str) -> NDArray[np.float32]:
        if self.views == 1:
            return self._batch(pixels, instrument)
        total = np.zeros((len(pixels), len(self.classes)), dtype=np.float32)
        for view in turned(pixels, self.views):
            total += self._batch(view, instrument)
        return np.divide(total, self.views, dtype=np.float32)

    def _batch(self, pixels: NDArray[np.uint8], instrument: str) -> NDArray[np.float32]:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))  # (B, C, H, W)
        if self._onnx is not None and instrument in self.info.target_instruments:
            return self._onnx(images)
        with self._opening:
            if self._torch is None:
                self._torch = self._open_torch()
        return self._torch(images, instrument)

    def _settle_engine(self, engine: Engine) -> Literal["onnx", "onnx-int8", "torch"]:
        if engine == "onnx-int8":
            require_int8(self._folder, self.info)
            return engine
        there = self._folder is not None and (self._folder / ONNX_FILE).is_file()
        if engine == "onnx" and not there:
            raise BundleError(f"{self._folder}: this bundle has no {ONNX_FILE}; use --engine torch")
        if engine == "onnx" or (engine == "auto" and there and self.device == "cpu"):
            return "onnx"
        return "torch"

    def _open_torch(self) -> TorchModel:
        from plankton_da.networks.bundle import read_bundle
        from plankton_da.prediction.torch_model import TorchModel

        bundle = self._bundle if self._folder is None else self._bundle or read_bundle(self._folder)
        if bundle is None:
            raise BundleError("a predictor needs a bundle or a bundle's folder")
        return TorchModel(
            bundle.network, self.info.temperature, self.device, half_precision=self._half_precision
        )

    def _open_onnx(self) -> OnnxModel | DoubtfulModel:
        threads = None if self._layout is None else self._layout.threads
        folder = Path(str(self._folder))
        exact = OnnxModel(folder / ONNX_FILE, self.classes, threads)
        if self.engine == "onnx" or self.info.int8 is None:
            return exact
        fast = OnnxModel(folder / INT8_FILE, self.classes, threads)
        return DoubtfulModel(fast, exact, self.info.int8.doubt)


def require_int8(folder: Path | None, info: BundleInfo) -> None:
    """Make sure that the bundle has the 8-bit model that was accepted.

    Raises
    ------
    BundleError
        It has none, or another.
    """
    path = None if folder is None else folder / INT8_FILE
    if info.int8 is None or path is None or not path.is_file():
        raise BundleError(
            f"{folder}: this bundle has no accepted {INT8_FILE}; make one: plankton-da quantize "
            f"BUNDLE, or use --engine auto"
        )
    if sha256_of(path) != info.int8.sha256:
        raise BundleError(
            f"{path} is not the one that was accepted: damaged, or replaced; make it again: "
            f"plankton-da quantize BUNDLE"
        )


def turned(pixels: NDArray[np.uint8], views: Views) -> Iterator[NDArray[np.uint8]]:
    """(N, H, W, C) as they are, in the other quarter turns, and mirrored where ``views`` is 8."""
    for turns in range(min(views, 4)):
        view = np.rot90(pixels, turns, axes=(1, 2))
        yield view
        if views == 8:
            yield view[:, :, ::-1]


def _settle_device(device: Device, engine: Engine) -> Literal["cpu", "cuda"]:
    if device == "cpu" or engine.startswith("onnx"):
        return "cpu"
    if has_cuda():
        return "cuda"
    if device == "cuda":
        raise ModelError("--device cuda: torch finds no CUDA device; use --device cpu or auto")
    return "cpu"


def has_cuda() -> bool:
    """Whether torch can use a GPU; imports it only where there is NVIDIA's driver."""
    if not _has_cuda_driver():
        return False
    import torch

    return torch.cuda.is_available()


def _has_cuda_driver() -> bool:
    """Spares the import of torch (seconds) on machines without the NVIDIA driver."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
