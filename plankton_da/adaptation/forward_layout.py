"""One concatenated batch of both instruments, or two halves: what this machine is faster at."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.pairs import StepBatches, UdaBatch
from plankton_da.adaptation.ranks import Ranks
from plankton_da.config import Config
from plankton_da.networks.classifier import LAYOUTS, Layout, PlanktonNetwork

_ROUNDS = 3  # measured, after one that is not

log = logging.getLogger(__name__)


def settle_layout(
    config: Config,
    method: Method,
    batches: StepBatches,
    folder: Path,
    device: torch.device,
    autocast: AbstractContextManager[object],
    ranks: Ranks,
) -> None:
    """Set the layout of ``model.forward_layout: auto`` where there is a choice.

    Both give the same gradients but for rounding. So that a run can be repeated and resumed bit for
    bit, what was measured is kept in ``folder`` and holds for later runs of the same kind on this
    machine; where nothing can be kept there, nothing is measured.
    """
    network = method.network
    chooses = method.adapts and not method.source_free and network.layout_is_free
    if config.model.forward_layout == "auto" and chooses:
        network.layout = ranks.first_says(
            _kept_or_measured, config, method, batches, folder, device, autocast
        )


def measure_layouts(
    network: PlanktonNetwork,
    batch: UdaBatch,
    autocast: AbstractContextManager[object],
) -> dict[Layout, float]:
    """Seconds that a pass forward and back takes in each layout; the network is as before."""
    devices = [batch.mid_images.device.index or 0] if batch.mid_images.is_cuda else []
    learning = [p for p in network.backbone.parameters() if p.requires_grad]
    seconds: dict[Layout, list[float]] = {layout: [] for layout in LAYOUTS}
    with torch.random.fork_rng(devices=devices):
        for _ in range(1 + _ROUNDS):
            for layout in LAYOUTS:
                began = time.perf_counter()
                with autocast:
                    mid, target = network.embed_pair(batch.mid_images, batch.target_images, layout)
                    total = mid.sum() + target.sum()
                if total.requires_grad:
                    torch.autograd.grad(total, learning, allow_unused=True)
                if devices:
                    torch.cuda.synchronize()
                seconds[layout].append(time.perf_counter() - began)
    return {layout: min(measured[1:]) for layout, measured in seconds.items()}


def _kept_or_measured(
    config: Config,
    method: Method,
    batches: StepBatches,
    folder: Path,
    device: torch.device,
    autocast: AbstractContextManager[object],
) -> Layout | None:
    path = folder / f"layout-{_key(config, device)}.json"
    if (kept := _kept(path)) is not None:
        return kept
    if not _writable(folder):
        return None
    seconds = measure_layouts(method.network, batches[0].to(device), autocast)
    fastest = min(LAYOUTS, key=lambda layout: seconds[layout])
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(fastest), encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # of two runs at once the first decides
        if (decided := _kept(path)) is not None:
            fastest = decided
        else:
            temporary.replace(path)
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    words = ", ".join(f"{layout} {taken:.3f} s a pass" for layout, taken in seconds.items())
    log.info("model.forward_layout: %s (measured on this machine: %s)", fastest, words)
    return fastest


def _kept(path: Path) -> Layout | None:
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        return next((layout for layout in LAYOUTS if layout == kept), None)
    return None


def _writable(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    return False


def _key(config: Config, device: torch.device) -> str:
    model, data, training = config.model, config.data, config.training
    where = torch.cuda.get_device_name() if device.type == "cuda" else str(torch.get_num_threads())
    parts = (
        *(model.backbone, model.freeze, model.batch_norm, training.precision, training.compile),
        *(data.image_size, data.batch_size_per_instrument, config.method.name),
        *(device.type, where, torch.__version__),
    )
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]
