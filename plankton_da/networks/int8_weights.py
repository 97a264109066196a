"""The nearest a convolution comes to itself with weights of eight bits.

A weight is an integer from -127 to 127 times its output channel's scale. Rounding each to the
nearest integer is not the best that can be done, because what counts is the layer's output on real
images: the error of a weight is made good by the weights that are yet to be rounded (Frantar et
al., GPTQ, ICLR 2023), and what is left of it on average by the bias (Nagel et al., Data-Free
Quantization, ICCV 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["pointwise", "depthwise", "dense"]

_LARGEST = 127
_NEIGHBOURS = 126
"""of two neighbouring weights of one sign the sum; rounding may add 2"""
_SHARES = np.linspace(1, 0.3, 36)
"""of the range of all values, that are tried"""
_DAMPING = 0.01
"""of the covariances' mean, added: channels that hardly ever differ make them singular"""


@dataclass
class Moments:
    """Mean and covariance of a layer's input channels, over images and places."""

    count: int = 0
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    squares: NDArray[np.float64] | None = None

    def add(self, values: NDArray[np.float32], *, squares: bool) -> None:
        """Take in (N, C) values; ``squares``: for the covariance too."""
        if not self.count:
            self.total = np.zeros(values.shape[1])
        self.count += len(values)
        self.total += values.sum(axis=0, dtype=np.float64)
        if squares:
            products = (values.T @ values).astype(np.float64)  # (C, C)
            self.squares = products if self.squares is None else self.squares + products

    def mean(self) -> NDArray[np.float64]:
        """(C,)"""
        return self.total / self.count

    def covariance(self) -> NDArray[np.float64]:
        """(C, C)"""
        if self.squares is None:
            raise ValueError("squares were not added up")
        return self.squares / self.count - np.outer(self.mean(), self.mean())


@dataclass(frozen=True)
class Rounded:
    """Weights that eight bits can hold, and the bias that goes with them."""

    weights: NDArray[np.float32]
    """of the shape they had; each an integer times its output channel's scale"""
    scales: NDArray[np.float32]
    """(output channels,)"""
    bias_change: NDArray[np.float32]
    """(output channels,) to be added"""


def round_weights(weights: NDArray[np.float32], kind: Kind, moments: Moments) -> Rounded:
    """Round a convolution's weights, (O, I, h, w), with the moments of its input.

    Processors without VNNI add the products of two neighbouring weights in 16 bits, which the
    largest values would overflow. So two neighbours of a pointwise convolution share what fits, and
    a dense one has 7 bits; depthwise ones are computed otherwise and have all 8.
    """
    flat = weights.reshape(len(weights), -1).astype(np.float64)  # (O, I * h * w)
    mean = moments.mean()
    if kind == "pointwise":
        scales = _shared_scales(flat)
        whole = _round_together(flat, scales, moments.covariance())
    else:
        scales = np.abs(flat).max(axis=1) / (_LARGEST if kind == "depthwise" else _LARGEST // 2)
        scales = _filled(scales)
        whole = np.round(flat / scales[:, None])
    rounded = whole * scales[:, None]
    lost = (flat - rounded).reshape(*weights.shape[:2], -1).sum(axis=2)  # (O, I)
    change = lost[:, 0] * mean if kind == "depthwise" else lost @ mean
    return Rounded(
        rounded.reshape(weights.shape).astype(np.float32),
        scales.astype(np.float32),
        change.astype(np.float32),
    )


def _shared_scales(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    pairs = np.pad(weights, ((0, 0), (0, weights.shape[1] % 2))).reshape(len(weights), -1, 2)
    up = np.maximum(pairs, 0).sum(axis=2).max(axis=1)
    down = np.maximum(-pairs, 0).sum(axis=2).max(axis=1)
    return _filled(np.maximum(up, down) / _NEIGHBOURS)


def _filled(scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """A dead channel's weights are all 0, on any scale."""
    return np.where(scales > 0, scales, 1.0).astype(np.float32).astype(np.float64)


def _round_together(
    weights: NDArray[np.float64], scales: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integers (O, I): input channel by channel, the liveliest first; the rest makes amends."""
    live = np.diag(covariance)
    damped = covariance + np.eye(len(live)) * max(_DAMPING * float(live.mean()), 1e-12)
    order = np.argsort(-live, kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(damped[order][:, order])).T  # (I, I)
    left = weights[:, order].copy()
    whole = np.empty_like(weights)
    for place, channel in enumerate(order):
        # not further than 1 from where it was, or two neighbours would not fit
        nearest = np.round(weights[:, channel] / scales)
        found = np.round(left[:, place] / scales)
        found = np.clip(
            found, np.maximum(nearest - 1, -_LARGEST), np.minimum(nearest + 1, _LARGEST)
        )
        whole[:, channel] = found
        error = (left[:, place] - found * scales) / upper[place, place]
        left[:, place:] -= error[:, None] * upper[place, place:]
    return whole


def best_range(values: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """The range whose 256 steps represent ``values`` with the least mean squared error.

    It contains 0. The few values beyond it are cut off, which the finer steps make good.
    """
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if low == high:
        return np.float32(0), np.float32(1)
    errors = []
    for share in _SHARES:
        step = (high - low) * share / 255
        zero = round(-low * share / step)
        whole = np.clip(np.round(values / step) + zero, 0, 255)
        errors.append(float(np.square((whole - zero) * step - values).mean()))
    share = _SHARES[int(np.argmin(errors))]
    return np.float32(low * share), np.float32(high * share)
