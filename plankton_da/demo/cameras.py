"""Two drawn cameras that look at the same kind of scene and show it differently."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from plankton_da.demo.drawing import Scene

MID_INSTRUMENT = "drawn_shadowgraph"
TARGET_INSTRUMENT = "drawn_darkfield"

Plane = NDArray[np.float32]
_VISIBLE = 0.04  # optical density at which a vignette's edge is cut
_TARGET_SCALE = 0.62  # target pixels per mid pixel


def shadowgraph(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The mid camera: what the organism takes from a white beam.

    Gray, dark on white, sharp, bright diffraction fringes, little noise. (H, W) uint8.
    """
    (density,) = _vignette(rng, [scene.density], margin=(3, 12))
    light = np.exp(-rng.uniform(1.5, 2.6) * density)
    light = _blur(light, rng.uniform(0.4, 0.8))
    light += rng.uniform(0.15, 0.45) * (light - _blur(light, 2.5))  # fringe
    beam = rng.uniform(0.86, 0.97) + _slope(rng, light.shape, 0.03)
    picture = beam * light + rng.normal(0, 0.012, light.shape)
    return _as_uint8(picture)


def darkfield(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The target camera: what the organism scatters out of an oblique beam.

    Colour, bright on black: edges shine, clear tissue does not; coarser pixels, defocus, tint,
    lateral colour, an unevenly lit background, drifting specks, more noise. (H, W, 3) uint8.
    """
    density, pigment = _vignette(rng, [scene.density, scene.pigment], margin=(5, 26))
    density, pigment = _shrink(density), _shrink(pigment)
    edges = np.hypot(
        cv2.Sobel(density, cv2.CV_32F, 1, 0, scale=0.25),
        cv2.Sobel(density, cv2.CV_32F, 0, 1, scale=0.25),
    )
    sparkle = np.clip(rng.normal(0.75, 0.45, density.shape), 0, None)
    tissue = (rng.uniform(1.2, 2.0) * edges + rng.uniform(0.15, 0.4) * density) * sparkle
    lamp = np.array([1.0, rng.uniform(0.82, 1.0), rng.uniform(0.55, 1.05)])
    light = tissue[..., None] * lamp + 0.9 * pigment[..., None] * np.array(scene.pigment_rgb)
    light = (rng.uniform(0.7, 1.5) * light).astype(np.float32)  # (H, W, 3)
    light += _specks(rng, light.shape[:2])[..., None]
    light = _blur(light, float(np.clip(rng.lognormal(-0.25, 0.45), 0.4, 2.2)))
    light = _lateral_colour(light, rng.normal(0, 0.5, 2))
    water = np.array([0.5, 0.8, 1.0]) * rng.uniform(0.03, 0.1)
    ground = 1 + _slope(rng, light.shape[:2], 0.7)
    picture = (1 - np.exp(-1.6 * light)) + ground[..., None] * water
    shot = np.sqrt(np.clip(picture, 0, None)) * rng.normal(0, 0.035, picture.shape)
    return _as_uint8(picture + shot + rng.normal(0, 0.012, picture.shape))


def _vignette(rng: np.random.Generator, maps: list[Plane], margin: tuple[int, int]) -> list[Plane]:
    """Cut all maps to where the first is visible, plus random margins (in mid pixels)."""
    seen = maps[0] > _VISIBLE
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    top, bottom, left, right = rng.integers(*margin, 4)
    wide = ((top, bottom), (left, right))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return [np.pad(plane[window], wide) for plane in maps]


def _shrink(plane: Plane) -> Plane:
    height, width = (max(1, round(side * _TARGET_SCALE)) for side in plane.shape)
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def _blur(plane: Plane, sigma: float) -> Plane:
    blurred = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return blurred.astype(np.float32, copy=False)


def _slope(rng: np.random.Generator, shape: tuple[int, ...], height: float) -> Plane:
    """A tilted plane of random direction, about -height to +height."""
    y, x = np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1])
    angle = rng.uniform(0, 2 * np.pi)
    plane = height * (np.sin(angle) * y[:, None] + np.cos(angle) * x[None, :])
    return np.asarray(plane, dtype=np.float32)


def _specks(rng: np.random.Generator, shape: tuple[int, int]) -> Plane:
    plane = np.zeros(shape, dtype=np.float32)
    count = rng.poisson(shape[0] * shape[1] / 900)
    plane[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = rng.exponential(
        0.5, count
    )
    return plane


def _lateral_colour(light: Plane, shift: NDArray[np.float64]) -> Plane:
    """Red and blue moved apart by ``shift`` pixels each way."""
    size = (light.shape[1], light.shape[0])
    for channel, way in ((0, 1), (2, -1)):
        move = np.array([[1, 0, way * shift[0]], [0, 1, way * shift[1]]])
        plane = np.ascontiguousarray(light[..., channel])
        light[..., channel] = cv2.warpAffine(plane, move, size, borderMode=cv2.BORDER_REPLICATE)
    return light


def _as_uint8(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray(np.round(np.clip(picture, 0, 1) * 255), dtype=np.uint8)
