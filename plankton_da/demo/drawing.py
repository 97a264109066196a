"""Plankton drawn by code: one function a taxon, poses and proportions at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from plankton_da.demo.pen import CANVAS, Pen, Points, ellipse, hair, points

Rng = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """One organism in clear water, before any camera has seen it."""

    taxon: str
    density: NDArray[np.float32]  # (H, W) optical density, 0 = clear water
    pigment: NDArray[np.float32]  # (H, W) the coloured part of density
    pigment_rgb: tuple[float, float, float]


def draw_scene(taxon: str, rng: Rng) -> Scene:
    """Draw one organism in a random pose; the same generator state gives the same scene.

    Raises
    ------
    KeyError
        The taxon is not in ``TAXA``.
    """
    density, pigment = _DRAWINGS[taxon](rng).finish()
    grain = 1 + 0.25 * _noise(rng, cells=22)
    return Scene(taxon, density * grain, pigment * grain, _PIGMENTS[taxon])


def _pen(rng: Rng, length: tuple[float, float], *, bend: float, sway: float = 0.0) -> Pen:
    return Pen(
        length=rng.uniform(*length),
        angle=rng.uniform(0, 2 * np.pi),
        bend=rng.normal(0, bend),
        sway=rng.normal(0, sway),
        squash=rng.uniform(0.75, 1.0),
        mirrored=bool(rng.random() < 0.5),
    )


def _noise(rng: Rng, cells: int) -> NDArray[np.float32]:
    """Smooth noise (CANVAS, CANVAS), about -1 to 1."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    smooth = cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)
    return smooth.astype(np.float32)


def _copepod(rng: Rng) -> Pen:
    pen = _pen(rng, (55, 100), bend=0.25)
    lateral = rng.random() < 0.45
    neck = rng.uniform(-0.12, 0.0)  # where the prosome ends
    width = rng.uniform(0.12, 0.19)
    x = np.linspace(neck, 0.5, 24)
    t = (x - neck) / (0.5 - neck)
    profile = width * np.sin(np.pi * (0.12 + 0.88 * t)) ** 0.7
    dorsal, ventral = (1.15, 0.75) if lateral else (1.0, 1.0)
    pen.body(x, profile * dorsal, profile * ventral, rng.uniform(0.55, 0.85))
    pen.body(x[4:20], profile[4:20] * 0.35, profile[4:20] * 0.3, 0.45, pigment=0.8)  # gut
    tail = np.linspace(-0.4, neck + 0.02, 16)
    slender = width * rng.uniform(0.2, 0.3) * (0.8 + 0.2 * np.cos(np.arange(16) * 1.7))
    pen.body(tail, slender, slender, 0.6)
    setae = [
        hair(rng, -0.4, side * 0.02, np.pi - side * spread, rng.uniform(0.12, 0.22), 0)
        for side in (-1, 1)
        for spread in (0.1, 0.25, 0.45)
    ]
    pen.stroke(setae, 0.8, 0.5)
    reach, sweep = rng.uniform(0.45, 0.85), rng.uniform(1.2, 2.2)
    antennae = [
        hair(rng, 0.44, side * width * 0.4, side * sweep, reach, side * rng.uniform(-0.3, 0.8))
        for side in ((1,) if lateral and rng.random() < 0.4 else (-1, 1))
    ]
    pen.stroke(antennae, rng.uniform(1.2, 2.0), 0.6)
    legs = [
        hair(rng, at, -width * 0.6, -1.9, rng.uniform(0.12, 0.22), -0.5)
        for at in np.linspace(neck + 0.05, 0.35, 5)
    ]
    pen.stroke(legs if lateral else [], 1.2, 0.4)
    pen.fill(ellipse(0.44, 0.0, 0.022, 0.022), 0.8, pigment=1.0)  # eye
    if rng.random() < 0.25:
        for side in (-1, 1):
            pen.fill(ellipse(neck - 0.14, side * 0.08, 0.13, 0.05), 0.6, pigment=0.5)  # egg sacs
    return pen


def _chaetognath(rng: Rng) -> Pen:
    pen = _pen(rng, (100, 160), bend=0.7, sway=0.25)
    width = rng.uniform(0.018, 0.032)
    x = np.linspace(-0.46, 0.46, 48)
    profile = width * np.clip(1.15 - 2.2 * np.abs(x) ** 2.2, 0.35, None)
    pen.body(x, profile, profile, 0.3)
    edges = [np.stack([x, side * profile], axis=1) for side in (-1, 1)]
    pen.stroke(edges, 1.0, 0.35)
    pen.fill(ellipse(0.475, 0, 0.028, width * 1.05), 0.6)
    hooks = [hair(rng, 0.49, side * width, side * 0.6, 0.05, -side * 1.6) for side in (-1, 1)]
    pen.stroke(hooks, 1.0, 0.5)
    pen.stroke([np.stack([x[8:], 0 * x[8:]], axis=1)], 1.2, 0.3, pigment=0.5)  # gut
    if rng.random() < 0.6:  # ovaries
        eggs = [np.stack([x[10:20], s * profile[10:20] * 0.5], axis=1) for s in (-1, 1)]
        pen.stroke(eggs, 1.6, 0.45, pigment=0.7)
    for at in (-0.28, -0.08):
        pen.fill(ellipse(at, 0, 0.09, width * 2.0), 0.16)  # lateral fins
    pen.fill(points((-0.44, 0), (-0.52, 0.055), (-0.535, 0), (-0.52, -0.055)), 0.28)
    return pen


def _diatom_chain(rng: Rng) -> Pen:
    pen = _pen(rng, (80, 150), bend=0.8, sway=0.2)
    cells = int(rng.integers(5, 15))
    pitch = 0.96 / cells
    half = pitch * rng.uniform(0.28, 0.46)
    width = np.clip(pitch * rng.uniform(0.4, 1.1), 0.025, 0.075)
    spiny = rng.random() < 0.6
    centres = -0.48 + pitch * (np.arange(cells) + 0.5)
    spines: list[Points] = []
    for x in centres:
        corners = np.array([(-1, -1), (-0.75, 0), (-1, 1), (1, 1), (0.75, 0), (1, -1)])
        cell = [x, 0.0] + corners * [half, width]
        pen.fill(cell, 0.3)
        pen.stroke([np.vstack([cell, cell[:1]])], 1.0, 0.45)
        pen.fill(ellipse(x, 0, half * 0.5, width * 0.55), 0.45, pigment=1.0)  # chloroplasts
        if spiny:
            for side in (-1, 1):
                for end in (-1, 1):
                    outward = side * (np.pi / 2 - end * rng.uniform(0.0, 0.5))
                    root, long = (x + end * half, side * width), rng.uniform(0.12, 0.26)
                    spines.append(hair(rng, *root, outward, long, -side * end * 0.4))
    pen.stroke(spines, 0.6, 0.4)
    if not spiny:
        thread = np.linspace(centres[0], centres[-1], 30)
        pen.stroke([np.stack([thread, 0 * thread], axis=1)], 0.8, 0.35)
    return pen


def _medusa(rng: Rng) -> Pen:
    return _medusa_above(rng) if rng.random() < 0.4 else _medusa_side(rng)


def _medusa_side(rng: Rng) -> Pen:
    pen = _pen(rng, (75, 110), bend=0.15)
    height, radius = rng.uniform(0.3, 0.55), rng.uniform(0.24, 0.36)
    t = np.linspace(-np.pi / 2, np.pi / 2, 40)
    flare = 1 + rng.uniform(-0.1, 0.15) * np.cos(t) ** 2
    bell = np.stack([0.45 - height + height * np.cos(t), radius * flare * np.sin(t)], axis=1)
    pen.fill(bell, rng.uniform(0.1, 0.22))
    inner = [0.45 - height, 0.0] + (bell - [0.45 - height, 0.0]) * [0.72, 0.85]
    pen.stroke([bell], rng.uniform(1.2, 2.4), 0.5)
    pen.stroke([inner], 1.0, 0.35)
    rim_x = 0.45 - height
    rim = ellipse(rim_x, 0, radius * rng.uniform(0.06, 0.2), radius)
    pen.stroke([np.vstack([rim, rim[:1]])], 1.4, 0.5)
    pen.stroke([inner[:20] * [1, share] for share in (-0.45, 0.45)], 0.9, 0.35)
    stalk = height * rng.uniform(0.5, 0.9)
    pen.fill(ellipse(0.45 - height * 0.28 - stalk / 2, 0, stalk / 2, 0.035), 0.5, pigment=0.6)
    tentacles = [
        hair(rng, rim_x, y, np.pi + rng.normal(0, 0.12), rng.uniform(0.2, 0.75), rng.normal(0, 0.5))
        for y in np.linspace(-radius, radius, int(rng.integers(5, 15)))
    ]
    pen.stroke(tentacles, rng.uniform(0.6, 1.2), 0.4)
    return pen


def _medusa_above(rng: Rng) -> Pen:
    pen = _pen(rng, (80, 120), bend=0.0)
    radius = rng.uniform(0.3, 0.42)
    rim = ellipse(0, 0, radius, radius)
    ring = np.vstack([rim, rim[:1]])
    pen.fill(rim, rng.uniform(0.1, 0.2))
    pen.stroke([ring], rng.uniform(1.6, 3.0), 0.5)
    pen.stroke([ring * rng.uniform(0.7, 0.85)], 0.8, 0.3)
    phase = rng.uniform(0, np.pi)
    spokes = phase + np.arange(4) * np.pi / 2
    arms = np.stack([np.cos(spokes), np.sin(spokes)], axis=1)
    pen.stroke([np.vstack([0 * arm, arm * radius]) for arm in arms], 1.0, 0.35)
    for arm, spoke in zip(arms, spokes, strict=True):  # gonads on the radial canals
        x, y = arm * radius * 0.5
        pen.fill(ellipse(x, y, radius * 0.18, 0.03, spoke), 0.4, pigment=0.7)
    pen.fill(ellipse(0, 0, 0.05, 0.05), 0.4, pigment=0.4)
    around = np.linspace(0, 2 * np.pi, int(rng.integers(8, 26)), endpoint=False)
    tentacles = [
        hair(rng, x, y, a, rng.uniform(0.05, 0.22), rng.normal(0, 0.6))
        for x, y, a in zip(radius * np.cos(around), radius * np.sin(around), around, strict=True)
    ]
    pen.stroke(tentacles, 0.8, 0.4)
    return pen


def _appendicularian(rng: Rng) -> Pen:
    pen = _pen(rng, (70, 120), bend=1.5, sway=0.7)
    x = np.linspace(-0.5, 0.36, 50)
    width = rng.uniform(0.035, 0.055)
    fin = width * np.sqrt(np.clip((x + 0.5) / 0.12, 0, 1)) * np.clip((0.46 - x) / 0.25, 0.5, 1)
    pen.body(x, fin, fin, 0.25)
    pen.stroke([np.stack([x, 0 * x], axis=1)], rng.uniform(1.4, 2.2), 0.5)  # notochord
    lean = rng.uniform(-0.9, 0.9)
    long, wide = rng.uniform(0.09, 0.13), rng.uniform(0.055, 0.08)
    trunk_x, trunk_y = 0.37 + long * 0.8 * np.cos(lean), long * 0.8 * np.sin(lean)
    pen.fill(ellipse(trunk_x, trunk_y, long, wide, lean), 0.65)
    back_x, back_y = trunk_x - 0.4 * long * np.cos(lean), trunk_y - 0.4 * long * np.sin(lean)
    pen.fill(ellipse(back_x, back_y, long * 0.45, wide * 0.8, lean), 0.5, pigment=0.9)  # gonad
    if rng.random() < 0.25:  # the mucous house, barely visible
        pen.fill(ellipse(0.2, 0, 0.42, 0.33), 0.05)
    return pen


def _detritus(rng: Rng) -> Pen:
    pen = _pen(rng, (60, 110), bend=0.8, sway=0.5)
    size, stretch, turn = rng.uniform(18, 40), rng.uniform(1.0, 2.6), rng.uniform(0, np.pi)
    v, u = np.mgrid[:CANVAS, :CANVAS].astype(np.float32) - CANVAS / 2
    along, across = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    squared = (along**2 / stretch + across**2 * stretch) / size**2
    rough = sum(
        (_noise(rng, cells) / (i + 1) for i, cells in enumerate((7, 15, 31))), np.float32(0)
    )
    flake = 1.1 - squared + rng.uniform(0.6, 1.1) * rough
    mottled = 0.7 + 0.5 * _noise(rng, 44)
    pen.add_map(np.clip(flake, 0, rng.uniform(0.6, 1.3)) * mottled * np.float32(0.7))
    fibres = [
        hair(rng, x, y, rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5), 0.8)
        for x, y in rng.normal(0, 0.12, (int(rng.integers(0, 7)), 2))
    ]
    pen.stroke(fibres, rng.uniform(0.7, 1.8), 0.4)
    return pen


_DRAWINGS: dict[str, Callable[[Rng], Pen]] = {
    "appendicularian": _appendicularian,
    "chaetognath": _chaetognath,
    "copepod": _copepod,
    "detritus": _detritus,
    "diatom_chain": _diatom_chain,
    "medusa": _medusa,
}
TAXA = tuple(_DRAWINGS)

_PIGMENTS: dict[str, tuple[float, float, float]] = {
    "appendicularian": (1.0, 0.75, 0.55),
    "chaetognath": (1.0, 0.85, 0.6),
    "copepod": (1.0, 0.45, 0.25),
    "detritus": (0.8, 0.7, 0.45),
    "diatom_chain": (0.75, 0.85, 0.25),
    "medusa": (1.0, 0.6, 0.7),
}
