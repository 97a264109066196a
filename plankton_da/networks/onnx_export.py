"""``model.onnx``: preprocessed uint8 in, probabilities out, weights inside."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.onnx import OnnxExporterError as OnnxExporterError

if TYPE_CHECKING:
    from plankton_da.networks.bundle import Bundle
    from plankton_da.networks.classifier import PlanktonNetwork


class _Probabilities(nn.Module):
    def __init__(self, network: PlanktonNetwork, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.network(images) / self.temperature, dim=1)


def export_onnx(bundle: Bundle, path: Path) -> None:
    """Write the network with the target's BatchNorm statistics as one ONNX file.

    Input ``images`` (batch, C, H, W) uint8, output ``probabilities`` (batch, K) float32.

    Raises
    ------
    OnnxExporterError
        The network does what cannot be exported.
    """
    network = copy.deepcopy(bundle.network).cpu().eval()
    network.use_domain("target")
    model = _Probabilities(network, bundle.info.temperature).eval()
    preprocess = bundle.info.preprocess
    channels = 1 if preprocess.color == "gray" else 3
    size = preprocess.image_size
    example = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    with _quiet("torch.onnx", "onnxscript", "onnx_ir"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    shape = None if program is None else program.model.graph.inputs[0].shape
    if shape is None or isinstance(shape[0], int):
        raise OnnxExporterError(
            "its forward fixes the number of images in a batch, as len(images) does; take "
            "images.shape[0]"
        )


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
