"""Which engine, and how it shares the cores: tried out, for a second at most."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plankton_da.networks.bundle_int8 import INT8_FILE
from plankton_da.prediction.cores import available_cores
from plankton_da.prediction.onnx_model import OnnxModel
from plankton_da.prediction.predictor import (
    ONNX_FILE,
    Device,
    Engine,
    Layout,
    Predictor,
    has_cuda,
    require_int8,
)

if TYPE_CHECKING:
    from plankton_da.networks.bundle import BundleInfo

EngineKind = Literal["onnx", "onnx-int8", "torch"]

log = logging.getLogger(__name__)

_SECONDS = 0.9
"""for all that is tried"""
_IMAGES = 8
"""at a time: as fast by the image as a whole batch, and sooner done"""
_ENOUGH = 1.05
"""times as fast as the float model, or 8 bits are not worth it"""


class Choice(NamedTuple):
    """An engine, and why."""

    engine: EngineKind
    layout: Layout | None
    words: str


@dataclass
class EngineChooser:
    """What ``--engine`` comes to for one bundle on this machine."""

    bundle: Path
    info: BundleInfo
    engine: Engine
    device: Device
    instruments: Sequence[str]
    """of the images that are to be classified"""
    begun: Mapping[str, Any] | None = None
    """provenance of rows that are finished already: ``auto`` goes on with their engine"""
    alone: bool = True
    """whether no other process has to come to the same choice"""
    _choice: Choice | None = field(default=None, init=False)

    def takes_int8(self) -> bool:
        """Whether it is the 8-bit engine, whose rows do not mix with others.

        Measures only where that depends on it.

        Raises
        ------
        BundleError
            It must be, and the bundle has no such model.
        """
        if self.engine == "onnx-int8" or self._begun() == "onnx-int8":
            require_int8(self.bundle, self.info)
            return True
        return self._may_choose_int8() and self.choose().engine == "onnx-int8"

    def choose(self) -> Choice:
        """The engine; measured at the first call."""
        if self._choice is None:
            self._choice = self._measured()
        return self._choice

    def open(self, **options: Any) -> Predictor:
        """A predictor with the chosen engine; ``options`` as ``Predictor.open`` takes them."""
        engine, layout, words = self.choose()
        if self._begun() is not None:
            log.info("goes on with engine %s, as it began", engine)
        if words:
            log.info(words)
        # auto serves instruments that model.onnx does not; --engine onnx refuses them
        asked: Engine = "auto" if (self.engine, engine) == ("auto", "onnx") else engine
        device: Device = "cpu" if engine.startswith("onnx") else self.device
        return Predictor.open(
            self.bundle,
            engine=asked,
            device=device,
            layout=layout,
            half_precision=True,
            **options,
        )

    def _begun(self) -> EngineKind | None:
        if self.engine != "auto" or self.begun is None:
            return None
        engine, device = self.begun.get("engine"), self.begun.get("device")
        if engine == "torch" and device == "cuda" and not self._on_gpu():
            return None
        return engine if engine in ("onnx", "onnx-int8", "torch") else None

    def _may_choose_int8(self) -> bool:
        return (
            self.engine == "auto"
            and self.begun is None
            and self.alone
            and self.info.int8 is not None
            and (self.bundle / INT8_FILE).is_file()
            and set(self.instruments) <= set(self.info.target_instruments)
        )

    def _on_gpu(self) -> bool:
        return self.device != "cpu" and has_cuda()

    def _kinds(self) -> list[EngineKind]:
        if self.engine != "auto":
            return [self.engine]
        if (begun := self._begun()) is not None:
            return [begun]
        served = set(self.instruments) & set(self.info.target_instruments)
        on_cpu = bool(served) and (self.bundle / ONNX_FILE).is_file() and self.device != "cuda"
        kinds: list[EngineKind] = ["onnx"] if on_cpu else []
        if self._may_choose_int8() and self.device != "cuda":
            require_int8(self.bundle, self.info)
            kinds.append("onnx-int8")
        # on the CPU it takes longer to load than a measurement may last, and has never been faster
        if self._on_gpu() or not kinds:
            kinds.append("torch")
        return kinds

    def _measured(self) -> Choice:
        kinds = self._kinds()
        cores = available_cores()
        layouts = [Layout(1, cores)] if cores == 1 else [Layout(1, cores), Layout(cores, 1)]
        if cores >= 8:
            layouts.append(Layout(cores // 4, 4))
        tried: list[tuple[EngineKind, Layout | None]] = []
        for kind in kinds:
            tried += [(kind, None)] if kind == "torch" else [(kind, each) for each in layouts]
        if len(tried) == 1:
            engine, layout = tried[0]
            return Choice(engine, layout, "")
        rates = {each: self._rate(*each, _SECONDS / len(tried)) for each in tried}
        self._slow_down_int8(rates)
        best = {
            kind: max((e for e in tried if e[0] == kind), key=rates.__getitem__) for kind in kinds
        }
        engine = max(kinds, key=lambda kind: rates[best[kind]])
        exact = [kind for kind in kinds if kind != "onnx-int8"]
        if engine == "onnx-int8" and exact:
            other = max(exact, key=lambda kind: rates[best[kind]])
            if rates[best[engine]] < _ENOUGH * rates[best[other]]:
                engine = other
        layout = best[engine][1]
        return Choice(engine, layout, _words(engine, layout, {k: rates[best[k]] for k in kinds}))

    def _slow_down_int8(self, rates: dict[tuple[EngineKind, Layout | None], float]) -> None:
        """By the float model's second looks, as many as there were on target images."""
        if self.info.int8 is None:
            return
        for kind, layout in rates:
            exact = rates.get(("onnx", layout))
            if kind == "onnx-int8" and exact is not None:
                rate = rates[kind, layout]
                rates[kind, layout] = 1 / (1 / rate + self.info.int8.second_looks / exact)

    def _rate(self, engine: EngineKind, layout: Layout | None, seconds: float) -> float:
        """Images a second."""
        if engine == "torch" or layout is None:
            predictor = Predictor.open(self.bundle, engine="torch", device=self.device)
            instrument = self.instruments[0]
            return rate_of(
                lambda images: predictor.probabilities(images.transpose(0, 2, 3, 1), instrument),
                self._images(predictor.batch_size),
                predictor.streams,
                seconds,
            )
        path = self.bundle / (INT8_FILE if engine == "onnx-int8" else ONNX_FILE)
        model = OnnxModel(path, self.info.classes, layout.threads)
        return rate_of(model, self._images(_IMAGES), layout.streams, seconds)

    def _images(self, count: int) -> NDArray[np.uint8]:
        size, channels = self.info.preprocess.image_size, self.info.preprocess.channels
        noise = np.random.default_rng(0)
        return noise.integers(0, 256, (count, channels, size, size), np.uint8)


def rate_of(
    model: Callable[[NDArray[np.uint8]], object],
    images: NDArray[np.uint8],
    streams: int,
    seconds: float,
) -> float:
    """Images a second that ``streams`` threads bring through ``model`` together."""
    started = time.perf_counter()
    model(images[:1])
    alone = time.perf_counter() - started
    if alone >= seconds / 2:  # a network so large that there is no time to try more
        return 1 / alone
    images = images[: max(1, min(len(images), int(seconds / 4 / alone)))]
    deadline = started + seconds
    counts = [0] * streams

    def work(number: int) -> None:
        while time.perf_counter() < deadline:
            model(images)
            counts[number] += len(images)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(streams)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def _words(engine: EngineKind, layout: Layout | None, rates: dict[EngineKind, float]) -> str:
    words = ", ".join(f"{name} {rate:,.0f} images/s" for name, rate in rates.items())
    if layout is not None:
        threads = "1 thread" if layout.threads == 1 else f"{layout.threads} threads"
        batches = "1 batch" if layout.streams == 1 else f"{layout.streams} batches"
        words += f"; {batches} at a time, {threads} each"
    if len(rates) > 1:
        words += f". {engine} is taken"
        if engine != "onnx-int8" and "onnx-int8" in rates:
            words += f": 8 bits are, where they are {_ENOUGH - 1:.0%} faster"
    return f"tried out: {words}"
