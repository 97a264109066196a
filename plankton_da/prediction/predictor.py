"""Pixels in, probabilities out: one predictor for every driver."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import BundleError, ModelError
from plankton_da.images.preprocess import Preprocess
from plankton_da.prediction.prior import NO_PRIOR, PriorCorrection, find_prior

if TYPE_CHECKING:
    from plankton_da.networks.bundle import Bundle, BundleInfo

Engine = Literal["auto", "onnx", "torch"]
Device = Literal["auto", "cpu", "cuda"]
Views = Literal[1, 4, 8]
CORES_VARIABLE = "PLANKTON_DA_CORES"
"""for machines that are shared without the operating system knowing, such as Ray's"""


class Predictor:
    """A bundle ready for use.

    Engine ``auto`` takes ONNX Runtime on the CPU where the bundle has ``model.onnx``, for the
    target's instruments, and torch for everything else. ``model.onnx`` holds the target's
    BatchNorm statistics, so other instruments always go through torch.
    The engines agree within 1e-4, and an image gets the same probabilities in any batch as alone
    within 1e-6; with the same batches they are equal bit for bit.
    ``prior`` is ``none``, ``estimated`` or a table, as ``find_prior`` takes it. ``views`` is how
    many of an image's quarter turns (4), and their mirror images (8), have their probabilities
    averaged; as many times the work.

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
    ) -> None:
        self.views = views
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
    ) -> Predictor:
        """A predictor from a bundle's folder; imports torch only where torch is used."""
        from plankton_da.networks.bundle import read_bundle_info

        predictor = cls.__new__(cls)
        predictor.views = views
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
        self.engine: Literal["onnx", "torch"] = self._settle_engine(engine)
        self._session: Any = self._open_session() if self.engine == "onnx" else None
        self._network: Any = self._open_network() if self.engine == "torch" else None

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
            Engine ``onnx`` was demanded and ``instrument`` is not a target of this bundle.
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

    def check_instrument(self, instrument: str) -> None:
        """Refuse an instrument that the demanded engine cannot serve (``BundleError``)."""
        targets = self.info.target_instruments
        if self._engine_asked == "onnx" and instrument not in targets:
            raise BundleError(
                f"{self._folder}: model.onnx serves {', '.join(targets)} alone; found instrument "
                f"{instrument}; use --engine auto or torch"
            )

    def _viewed(self, pixels: NDArray[np.uint8], instrument: str) -> NDArray[np.float32]:
        if self.views == 1:
            return self._batch(pixels, instrument)
        total = np.zeros((len(pixels), len(self.classes)), dtype=np.float32)
        for view in turned(pixels, self.views):
            total += self._batch(view, instrument)
        return total / self.views

    def _batch(self, pixels: NDArray[np.uint8], instrument: str) -> NDArray[np.float32]:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))  # (B, C, H, W)
        if self._session is not None and instrument in self.info.target_instruments:
            (result,) = self._session.run(["probabilities"], {"images": images})
            return np.asarray(result, dtype=np.float32)
        return self._batch_torch(images, instrument)

    def _batch_torch(self, images: NDArray[np.uint8], instrument: str) -> NDArray[np.float32]:
        import torch

        if self._network is None:
            self._network = self._open_network()
        self._network.use_instrument(instrument)
        self._network.eval()
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(images).to(self.device))  # (B, K)
            result = torch.softmax(logits.float() / self.info.temperature, dim=1)
        return result.cpu().numpy()

    def _settle_engine(self, engine: Engine) -> Literal["onnx", "torch"]:
        there = self._folder is not None and (self._folder / "model.onnx").is_file()
        if engine == "onnx" and not there:
            raise BundleError(f"{self._folder}: this bundle has no model.onnx; use --engine torch")
        if engine == "onnx" or (engine == "auto" and there and self.device == "cpu"):
            return "onnx"
        return "torch"

    def _open_network(self) -> Any:
        from plankton_da.networks.bundle import read_bundle

        bundle = self._bundle if self._folder is None else self._bundle or read_bundle(self._folder)
        if bundle is None:
            raise BundleError("a predictor needs a bundle or a bundle's folder")
        return bundle.network.to(self.device)

    def _open_session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = f"{self._folder}/model.onnx"
        try:
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 (its exceptions share no base class of their own)
            raise BundleError(f"{path}: damaged: {error}; write the bundle again") from None
        found = [output.name for output in session.get_outputs()], session.get_outputs()[0].shape
        if found[0] != ["probabilities"] or found[1][-1] != len(self.classes):
            raise BundleError(
                f"{path}: expected one output 'probabilities' of {len(self.classes)} classes; "
                f"found {found[0]} of shape {found[1]}; write the bundle again"
            )
        return session


def turned(pixels: NDArray[np.uint8], views: Views) -> Iterator[NDArray[np.uint8]]:
    """(N, H, W, C) as they are, in the other quarter turns, and mirrored where ``views`` is 8."""
    for turns in range(min(views, 4)):
        view = np.rot90(pixels, turns, axes=(1, 2))
        yield view
        if views == 8:
            yield view[:, :, ::-1]


def available_cores() -> int:
    """Processor cores that this process may use; the environment can say how many."""
    said = os.environ.get(CORES_VARIABLE, "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _settle_device(device: Device, engine: Engine) -> Literal["cpu", "cuda"]:
    if device == "cpu" or engine == "onnx" or (device == "auto" and not _has_cuda_driver()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ModelError("--device cuda: torch finds no CUDA device; use --device cpu or auto")
    return "cpu"


def _has_cuda_driver() -> bool:
    """Spares the import of torch (seconds) on machines without the NVIDIA driver."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
