"""``model.int8.onnx``: the same graph with convolutions of eight bits."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ModelError
from plankton_da.networks.int8_weights import Kind, Moments, best_range, round_weights

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_BATCH = 32
_KEPT_FLOAT = 3
"""convolutions from the start: few channels, little work, and all that follows has their errors"""
_PLACES = 1024
"""of a batch's images that the covariances are taken over"""
_VALUES = 8192
"""of each tensor and batch that its range is chosen by"""
_WITH_CONVOLUTIONS = ("Conv", "Add", "Clip", "Relu", "MaxPool", "GlobalAveragePool")
"""operations that have kernels of eight bits; head and normalisation stay as they are"""


@dataclass(frozen=True)
class _Convolution:
    name: str
    kind: Kind
    source: str
    """name of its input"""
    weights: str
    bias: str | None


def quantize_onnx(source: Path, target: Path, images: NDArray[np.uint8], *, seed: int = 0) -> None:
    """Write ``source`` with 8-bit convolutions as ``target``: static, QDQ, scales per channel.

    The ranges of what passes between layers are those of ``images``, and weights are rounded so
    that the layers' outputs on them are kept. The first convolutions and the head stay float.

    Parameters
    ----------
    images
        uint8 (N, C, H, W), preprocessed; what the model will meet.
    seed
        Draws the places of the images that ranges and rounding are settled on.

    Raises
    ------
    ModelError
        The model has no convolutions that could be made so.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as name, _quiet():
        folded = Path(name, "folded.onnx")
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        model = onnx.load(folded)
        convolutions = _convolutions(model)[_KEPT_FLOAT:]
        if not convolutions:
            raise ModelError(
                f"{source}: int8 is for networks of convolutions; this one has too few to gain "
                f"from it. Use its float model (--engine onnx)"
            )
        moments, rows = _watch(model, convolutions, images, seed)
        scales = _round(model, convolutions, moments)
        prepared = Path(name, "rounded.onnx")
        onnx.save(model, prepared)
        keep = {convolution.name for convolution in convolutions}
        quantize_static(
            str(prepared),
            str(target),
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_WITH_CONVOLUTIONS),
            nodes_to_exclude=[
                node.name
                for node in model.graph.node
                if node.op_type == "Conv" and node.name not in keep
            ],
            extra_options={"TensorQuantOverrides": _overrides(scales, rows)},
        )


class _Reader:
    """What ONNX Runtime's calibration asks for data (its CalibrationDataReader)."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._batches = _batches(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def _batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))


def _convolutions(model: ModelProto) -> list[_Convolution]:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in shapes:
            continue
        kind = _kind(node, shapes[node.input[1]])
        bias = node.input[2] if len(node.input) > 2 else None
        if kind is not None:
            found.append(_Convolution(node.name, kind, node.input[0], node.input[1], bias))
    return found


def _kind(node: NodeProto, shape: tuple[int, ...]) -> Kind | None:
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    if len(shape) != 4:
        return None
    if groups == 1:
        return "pointwise" if shape[2:] == (1, 1) else "dense"
    return "depthwise" if groups == shape[0] and shape[1] == 1 else None


def _watch(
    model: ModelProto, convolutions: list[_Convolution], images: NDArray[np.uint8], seed: int
) -> tuple[dict[str, Moments], dict[str, NDArray[np.float32]]]:
    """What passes between the layers: moments of the convolutions' inputs, values (N, C) of all."""
    import onnx
    import onnxruntime

    names = _activations(model, convolutions)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), _session_options(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(seed)
    moments = {each.source: Moments() for each in convolutions}
    pointwise = {each.source for each in convolutions if each.kind == "pointwise"}
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for batch in _batches(images):
        for name, values in zip(names, session.run(names, {"images": batch}), strict=True):
            rows = values.transpose(0, 2, 3, 1).reshape(-1, values.shape[1])  # (B * h * w, C)
            if len(rows) > _PLACES:
                rows = rows[rng.choice(len(rows), _PLACES, replace=False)]
            kept[name].append(rows[: max(1, _VALUES // rows.shape[1])].copy())
            if name in moments:
                moments[name].add(rows, squares=name in pointwise)
    return moments, {name: np.concatenate(parts) for name, parts in kept.items()}


def _activations(model: ModelProto, convolutions: list[_Convolution]) -> list[str]:
    """Inputs of the convolutions, and what is added up between them."""
    floats = {each.name for each in model.graph.value_info if each.type.tensor_type.elem_type == 1}
    floats -= {tensor.name for tensor in model.graph.initializer}
    sums = [
        name
        for node in model.graph.node
        if node.op_type == "Add" and floats.issuperset((*node.input, *node.output))
        for name in (*node.input, *node.output)
    ]
    return list(dict.fromkeys([*(each.source for each in convolutions), *sums]))


def _session_options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


def _round(
    model: ModelProto, convolutions: list[_Convolution], moments: dict[str, Moments]
) -> dict[str, NDArray[np.float32]]:
    """Round the weights in ``model``; name of the weights -> scales."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    scales: dict[str, NDArray[np.float32]] = {}
    for convolution in convolutions:
        if convolution.weights in scales:  # of two layers at once: rounded for the first
            continue
        weights = numpy_helper.to_array(tensors[convolution.weights])
        rounded = round_weights(weights, convolution.kind, moments[convolution.source])
        scales[convolution.weights] = rounded.scales
        _replace(tensors[convolution.weights], rounded.weights)
        if convolution.bias is not None and convolution.bias in tensors:
            bias = numpy_helper.to_array(tensors[convolution.bias])
            _replace(tensors[convolution.bias], bias + rounded.bias_change)
    return scales


def _overrides(
    scales: dict[str, NDArray[np.float32]], rows: dict[str, NDArray[np.float32]]
) -> dict[str, list[dict[str, Any]]]:
    """Name of a tensor -> how ONNX Runtime's tool is to quantise it."""
    from onnxruntime.quantization import QuantType

    eight = {"quant_type": QuantType.QInt8, "zero_point": np.int8(0), "axis": 0}
    found: dict[str, list[dict[str, Any]]] = {
        name: [{**eight, "scale": np.float32(scale)} for scale in each]
        for name, each in scales.items()
    }
    for name, values in rows.items():
        low, high = best_range(values)
        found[name] = [{"quant_type": QuantType.QUInt8, "rmin": low, "rmax": high}]
    return found


def _replace(tensor: Any, values: NDArray[np.float32]) -> None:
    from onnx import numpy_helper

    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's tools log on the root logger, and give it a handler where it has none."""
    root = logging.getLogger()
    level, handler = root.level, logging.NullHandler()
    root.addHandler(handler)
    root.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
