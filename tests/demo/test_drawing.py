from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from plankton_da.demo.cameras import darkfield, shadowgraph
from plankton_da.demo.drawing import TAXA, draw_scene
from plankton_da.demo.pen import CANVAS, Pen, ellipse

NAMED = {"copepod", "chaetognath", "diatom_chain", "medusa", "appendicularian", "detritus"}


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_taxa() -> None:
    assert set(TAXA) == NAMED


@pytest.mark.parametrize("taxon", TAXA)
def test_scene_is_whole_finite_and_inside_the_canvas(taxon: str) -> None:
    for seed in range(20):
        scene = draw_scene(taxon, _rng(5, seed))
        assert scene.density.shape == scene.pigment.shape == (CANVAS, CANVAS)
        assert scene.density.dtype == scene.pigment.dtype == np.float32
        assert np.isfinite(scene.density).all()
        assert scene.density.min() >= 0
        assert scene.density.max() > 0.4
        assert (scene.pigment <= scene.density + 1e-6).all()
        border = np.r_[scene.density[[0, -1]].ravel(), scene.density[:, [0, -1]].ravel()]
        assert (border > 0.04).mean() < 0.05  # at most an appendage leaves the canvas


@pytest.mark.parametrize("taxon", TAXA)
def test_poses_vary(taxon: str) -> None:
    shapes = {shadowgraph(draw_scene(taxon, _rng(s)), _rng(s)).shape for s in range(10)}
    assert len(shapes) >= 8


def test_pen_fills_the_area_it_is_told() -> None:
    pen = Pen(length=100)
    pen.fill(ellipse(0, 0, 0.3, 0.1), 0.5, pigment=0.4)
    density, pigment = pen.finish()
    assert density.sum() == pytest.approx(0.5 * np.pi * 30 * 10, rel=0.06)  # OpenCV blends outwards
    np.testing.assert_allclose(pigment, 0.4 * density, atol=1e-6)


def test_bending_keeps_the_length_of_the_axis() -> None:
    lengths = []
    for bend in (0.0, 1.0, 2.5):
        pen = Pen(length=120, bend=bend)
        axis = np.stack([np.linspace(-0.5, 0.5, 200), np.zeros(200)], axis=1)
        pen.stroke([axis], 2.0, 1.0)
        lengths.append(pen.finish()[0].sum())
    assert lengths == pytest.approx([lengths[0]] * 3, rel=0.1)  # the chord of the last is 0.76


def _square(picture: NDArray[np.uint8], dark_on_light: bool) -> NDArray[np.float64]:
    """Gray, dark on light, padded and brought to 64 x 64: what a network would be given."""
    gray = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    gray = gray if dark_on_light else 255 - gray
    height, width = gray.shape
    side = max(height, width)
    canvas = np.full((side, side), np.median(gray[[0, -1]]), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = gray
    return cv2.resize(canvas, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float64)


def _features(image: NDArray[np.float64]) -> list[float]:
    """Where in the spectrum the picture's energy lies, and how much of it is filled."""
    ink = np.median(image[[0, -1]]) - image
    ink /= ink.std()
    power = np.abs(np.fft.fft2(ink)) ** 2
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    rings = np.digitize(frequency, np.linspace(0.01, 0.5, 15))
    radial = [float(np.log(power[rings == ring].mean())) for ring in range(1, 15)]
    levels = np.quantile(ink, np.linspace(0.05, 0.995, 12))
    return [*radial, *levels]


def _accuracy(
    train: NDArray[np.float64], test: NDArray[np.float64], truth: NDArray[np.str_]
) -> float:
    """Of a ridge classifier; ``truth`` is of both."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    x, x_test = (train - mean) / spread, (test - mean) / spread
    wanted = (truth[:, None] == np.array(TAXA)) - 1 / len(TAXA)
    weights = np.linalg.solve(x.T @ x + 3 * np.eye(x.shape[1]), x.T @ wanted)
    return float((np.array(TAXA)[(x_test @ weights).argmax(axis=1)] == truth).mean())


def test_cameras_differ_by_more_than_polarity_and_colour() -> None:
    """Simple features tell taxa apart within each camera; what one camera taught fits the other
    worse, even after inverting and graying."""

    def draw(dark_on_light: bool, seed: int) -> NDArray[np.float64]:
        rows: list[list[float]] = []
        for taxon in truth:
            rng = _rng(seed, int(dark_on_light), len(rows))
            camera = shadowgraph if dark_on_light else darkfield
            rows.append(_features(_square(camera(draw_scene(taxon, rng), rng), dark_on_light)))
        return np.array(rows)

    truth = np.repeat(np.array(TAXA), 20)
    mid, target = draw(True, 1), draw(False, 1)
    mid_test, target_test = draw(True, 2), draw(False, 2)
    at_home = _accuracy(mid, mid_test, truth), _accuracy(target, target_test, truth)
    abroad = _accuracy(mid, target_test, truth)
    assert min(at_home) > 0.5
    assert 1 / 6 < abroad < min(at_home) - 0.1
