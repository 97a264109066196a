"""The bundle's network in PyTorch, on the CPU or a GPU."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from plankton_da.networks.classifier import PlanktonNetwork

log = logging.getLogger(__name__)


class TorchModel:
    """Preprocessed pixels in, probabilities out. Several threads may call at a time.

    On a GPU that is worth while: one thread's images are copied there, from memory that the
    operating system does not move, while another's are computed.
    """

    def __init__(
        self,
        network: PlanktonNetwork,
        temperature: float,
        device: Literal["cpu", "cuda"],
        *,
        half_precision: bool = False,
    ) -> None:
        """``half_precision``: float16 where that is safe, on a GPU; scores then differ by 0.01."""
        self._network = network.to(device).eval()
        self._temperature = temperature
        self._device = device
        self._half = half_precision and device == "cuda"
        self._turn = threading.Lock()  # a network has one instrument's statistics at a time
        if device == "cuda":
            network.to(memory_format=torch.channels_last)
            self._copying = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's

    def __call__(self, images: NDArray[Any], instrument: str) -> NDArray[np.float32]:
        """Images (B, C, H, W) uint8 of one instrument to probabilities (B, K).

        Floating point (B, ...) is what the network's frozen stages gave of them.
        """
        if self._device == "cpu":
            with self._turn:
                return self._compute(torch.from_numpy(images), instrument).numpy()
        found = self._on_gpu(images, instrument)
        if self._half and not np.isfinite(found).all():
            log.info("half precision is not enough for this network; it goes on in float32")
            self._half = False
            found = self._on_gpu(images, instrument)
        return found

    def _on_gpu(self, images: NDArray[Any], instrument: str) -> NDArray[np.float32]:
        host = torch.from_numpy(images).pin_memory()
        with torch.cuda.stream(self._copying):
            batch = host.to(self._device, non_blocking=True)
            copied = self._copying.record_event()
        with self._turn:
            computing = torch.cuda.current_stream()
            computing.wait_event(copied)
            batch.record_stream(computing)  # else its memory could be given away too early
            probabilities = self._compute(batch, instrument)
            result = torch.empty(probabilities.shape, dtype=torch.float32, pin_memory=True)
            result.copy_(probabilities, non_blocking=True)
            done = computing.record_event()
        done.synchronize()
        return result.numpy().copy()  # pinned memory is scarce

    def _compute(self, batch: Tensor, instrument: str) -> Tensor:
        half = torch.autocast("cuda", torch.float16) if self._half else contextlib.nullcontext()
        self._network.use_instrument(instrument)
        self._network.eval()
        with torch.inference_mode(), half:
            logits = self._network(batch)  # (B, K)
            return torch.softmax(logits.float() / self._temperature, dim=1)
