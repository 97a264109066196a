"""A pen that draws in an organism's own coordinates, however it lies and bends in the water."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (N, 2): x along the body axis, head at +0.5, tail at -0.5; y across

CANVAS = 176  # scene pixels
_OVERSAMPLING = 2
_SHIFT = 4  # OpenCV takes coordinates as integers in 1/16 pixel
_SPINE = np.linspace(-0.5, 0.5, 65)


class Pen:
    """Adds optical density to a canvas, part by part.

    Parameters
    ----------
    length : body length in scene pixels
    angle : where the head points, radians
    bend : total turn of the axis from tail to head, radians
    sway : amplitude of an additional S-shaped turn, radians
    squash : foreshortening across the body, 1 = none
    mirrored : seen from the other side
    """

    def __init__(
        self,
        *,
        length: float,
        angle: float = 0.0,
        bend: float = 0.0,
        sway: float = 0.0,
        squash: float = 1.0,
        mirrored: bool = False,
    ) -> None:
        side = CANVAS * _OVERSAMPLING
        self._density = np.zeros((side, side), dtype=np.float32)
        self._pigment = np.zeros((side, side), dtype=np.float32)
        self._mask = np.zeros((side, side), dtype=np.uint8)
        self._length = length * _OVERSAMPLING
        self._squash = -squash if mirrored else squash
        self._turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self._heading = bend * _SPINE + sway * np.sin(2 * np.pi * _SPINE)
        steps = np.stack([np.cos(self._heading), np.sin(self._heading)], axis=1)
        line = np.vstack([[0.0, 0.0], np.cumsum((steps[1:] + steps[:-1]) / 2, axis=0)])
        self._line = line / (len(_SPINE) - 1)
        self._middle = (self._line.min(axis=0) + self._line.max(axis=0)) / 2

    def fill(self, outline: Points, density: float, *, pigment: float = 0.0) -> None:
        """Add ``density`` inside a closed outline; ``pigment`` is the coloured share of it."""
        fixed = [self._fixed(outline)]
        cv2.fillPoly(self._mask, fixed, 255, cv2.LINE_AA, _SHIFT)
        self._add(fixed, 2, density, pigment)

    def stroke(
        self, lines: Sequence[Points], width: float, density: float, *, pigment: float = 0.0
    ) -> None:
        """Add ``density`` along lines ``width`` scene pixels wide; below 1/2 it fades."""
        if not lines:
            return
        thickness = max(1, round(width * _OVERSAMPLING))
        fixed = [self._fixed(line) for line in lines]
        cv2.polylines(self._mask, fixed, False, 255, thickness, cv2.LINE_AA, _SHIFT)
        self._add(fixed, thickness + 2, density * min(1.0, width * _OVERSAMPLING), pigment)

    def body(
        self,
        x: NDArray[np.float64],
        left: NDArray[np.float64],
        right: NDArray[np.float64],
        density: float,
        *,
        pigment: float = 0.0,
    ) -> None:
        """Fill between ``y = left(x)`` and ``y = -right(x)``."""
        outline = np.vstack([np.stack([x, left], 1), np.stack([x, -right], 1)[::-1]])
        self.fill(outline, density, pigment=pigment)

    def add_map(self, density: NDArray[np.float32]) -> None:
        """Add a density map of CANVAS x CANVAS scene pixels, lying as it is."""
        side = self._density.shape[0]
        self._density += cv2.resize(density, (side, side), interpolation=cv2.INTER_LINEAR)

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Density and its pigmented part, each (CANVAS, CANVAS) float32."""
        size = (CANVAS, CANVAS)
        density = cv2.resize(self._density, size, interpolation=cv2.INTER_AREA)
        pigment = cv2.resize(self._pigment, size, interpolation=cv2.INTER_AREA)
        return density.astype(np.float32), pigment.astype(np.float32)

    def _add(
        self, drawn: list[NDArray[np.int32]], rim: int, density: float, pigment: float
    ) -> None:
        """Move the mask onto the maps, within ``rim`` pixels of what was drawn, and clear it."""
        corners = np.concatenate(drawn).reshape(-1, 2) >> _SHIFT
        (left, top), (right, bottom) = corners.min(axis=0) - rim, corners.max(axis=0) + rim + 1
        window = np.s_[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        layer = self._mask[window] * np.float32(density / 255)
        self._density[window] += layer
        if pigment:
            self._pigment[window] += layer * np.float32(pigment)
        self._mask[window] = 0

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        x, y = points[:, 0], points[:, 1] * self._squash
        inside = np.clip(x, -0.5, 0.5)
        heading = np.interp(inside, _SPINE, self._heading)
        along = np.stack([np.cos(heading), np.sin(heading)], axis=1)  # (N, 2)
        across = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
        foot = np.stack([np.interp(inside, _SPINE, self._line[:, i]) for i in (0, 1)], axis=1)
        bent = foot + along * (x - inside)[:, None] + across * y[:, None] - self._middle
        pixels = bent @ self._turn * self._length + CANVAS * _OVERSAMPLING / 2
        fixed: NDArray[np.int32] = np.round(pixels * (1 << _SHIFT)).astype(np.int32)
        return fixed.reshape(-1, 1, 2)


def points(*xy: tuple[float, float]) -> Points:
    """Corners of an outline."""
    return np.array(xy, dtype=np.float64)


def ellipse(x: float, y: float, half_x: float, half_y: float, turn: float = 0.0) -> Points:
    """An outline around (x, y), turned by ``turn`` radians."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    u, v = half_x * np.cos(t), half_y * np.sin(t)
    return np.stack(
        [x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1
    )


def hair(
    rng: np.random.Generator, x: float, y: float, angle: float, length: float, curl: float
) -> Points:
    """A line that leaves (x, y) at an angle and curls by ``curl`` radians, give or take."""
    headings = angle + np.linspace(0, curl + rng.normal(0, 0.25), 12)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / 12)
    return np.vstack([[x, y], np.array([x, y]) + np.cumsum(steps, axis=0)])
