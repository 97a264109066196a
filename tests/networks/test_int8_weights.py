"""Weights of eight bits: no sum overflows, and the layer's output stays."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from plankton_da.networks.int8_weights import Kind, Moments, best_range, round_weights


@pytest.fixture
def values() -> NDArray[np.float32]:
    """(4000, 24): channels that go together, some livelier than others; none below 0."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(4000, 24)) @ rng.normal(size=(24, 24)) * np.linspace(0.1, 2, 24)
    return np.clip(mixed, 0, 6).astype(np.float32)


def moments_of(values: NDArray[np.float32]) -> Moments:
    moments = Moments()
    for start in range(0, len(values), 1000):
        moments.add(values[start : start + 1000], squares=True)
    return moments


def draw(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_t(3, shape).astype(np.float32)


def test_moments_are_numpy_s(values: NDArray[np.float32]) -> None:
    moments = moments_of(values)
    np.testing.assert_allclose(moments.mean(), values.mean(axis=0), rtol=1e-4)
    expected = np.cov(values.T, bias=True)
    np.testing.assert_allclose(moments.covariance(), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["pointwise", "depthwise", "dense"])
def test_weights_are_whole_numbers_of_the_scale(kind: Kind, values: NDArray[np.float32]) -> None:
    shape = {"pointwise": (10, 24, 1, 1), "depthwise": (24, 1, 3, 3), "dense": (10, 24, 3, 3)}
    weights = draw(*shape[kind])
    weights[3] = 0  # a dead channel
    rounded = round_weights(weights, kind, moments_of(values))
    whole = rounded.weights / rounded.scales[:, None, None, None]
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-3)
    assert np.abs(whole).max() <= 127.01
    assert not rounded.weights[3].any()
    assert rounded.bias_change[3] == 0
    assert np.abs(rounded.weights - weights).max() < 2 * rounded.scales.max()


def test_two_neighbours_never_overflow_16_bits(values: NDArray[np.float32]) -> None:
    weights = draw(64, 24, 1, 1)
    rounded = round_weights(weights, "pointwise", moments_of(values))
    whole = np.round(rounded.weights[:, :, 0, 0] / rounded.scales[:, None]).astype(int)
    pairs = whole.reshape(64, -1, 2)
    for sign in (1, -1):
        assert 255 * np.maximum(sign * pairs, 0).sum(axis=2).max() <= 32767


def test_the_layer_s_output_stays_better_than_by_rounding_to_the_nearest(
    values: NDArray[np.float32],
) -> None:
    weights = draw(10, 24, 1, 1)
    rounded = round_weights(weights, "pointwise", moments_of(values))
    true = values @ weights[:, :, 0, 0].T
    found = values @ rounded.weights[:, :, 0, 0].T + rounded.bias_change
    scales = rounded.scales[:, None]
    nearest = values @ (np.round(weights[:, :, 0, 0] / scales) * scales).T
    assert np.abs((found - true).mean(axis=0)).max() < 1e-3, "right on average, channel by channel"
    assert (found - true).std() < 0.7 * (nearest - true).std()


def test_the_bias_makes_good_what_depthwise_weights_lose(values: NDArray[np.float32]) -> None:
    weights = draw(24, 1, 3, 3)
    rounded = round_weights(weights, "depthwise", moments_of(values))
    lost = (weights - rounded.weights).sum(axis=(1, 2, 3)) * values.mean(axis=0)
    np.testing.assert_allclose(rounded.bias_change, lost, rtol=1e-3, atol=1e-6)


def test_a_range_gives_up_the_few_for_the_many() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 1_000_000), [20.0, -20.0]]).astype(np.float32)
    low, high = best_range(values)
    assert -15 < low < -4
    assert 4 < high < 15
    assert best_range(np.linspace(0, 6, 1000, dtype=np.float32)) == (0, 6)
    assert best_range(np.zeros(5, np.float32)) == (0, 1)
