"""The collages that FlowCam's lists cut their particles out of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from plankton_da.errors import ImageError
from plankton_da.images.decoding import read_size
from plankton_da.images.refs import ref_of
from plankton_da.manifests.ingest.flowcam_lists import Particle

COLLAGE = re.compile(r"(?i)(.+)_\d{6}\.tiff?")
"""its first group is the run's name"""
_NO_PARTICLES = re.compile(r"(?i)(.*_bin|cal_image.*)\.tiff?")  # masks, empty frames


class Collages:
    """The collages of one folder; ``relative_to`` is the folder of the manifest to be."""

    def __init__(self, folder: Path, names: Sequence[str], relative_to: Path) -> None:
        self.names = {name.lower(): name for name in names}
        self.broken: dict[str, str] = {}
        """collage's name -> why none of its particles can be read"""
        self._folder = folder
        self._relative_to = relative_to
        self._known: dict[str, tuple[str, int, int]] = {}
        self._taken: set[tuple[str, tuple[int, int, int, int]]] = set()

    def refuse(self, particle: Particle) -> str:
        """Why the particle's image cannot be cut out; '' where it can."""
        name = particle.collage
        if name not in self._known and name not in self.broken:
            self._look_at(name)
        if name in self.broken:
            return self.broken[name]
        _, width, height = self._known[name]
        x, y, w, h = particle.box
        if x + w > width or y + h > height:
            return f"the particle's box is not inside the collage's {width} x {height} pixels"
        return ""

    def ref(self, particle: Particle) -> str:
        """The ref of a particle's box."""
        return f"{self._known[particle.collage][0]}#{','.join(map(str, particle.box))}"

    def is_first(self, particle: Particle) -> bool:
        """False for a box that was asked for already."""
        key = (self._known[particle.collage][0], particle.box)
        if key in self._taken:
            return False
        self._taken.add(key)
        return True

    def unnamed(self) -> list[tuple[str, str]]:
        """Collages that no list names; each with words."""
        named = {name.lower() for name in self._known} | {name.lower() for name in self.broken}
        return [
            (name, "a collage that no list of this folder names")
            for lower, name in self.names.items()
            if COLLAGE.fullmatch(lower) and not _NO_PARTICLES.fullmatch(lower)
            if lower not in named
        ]

    def _look_at(self, name: str) -> None:
        there = self.names.get(name.lower())  # lists come from file systems that ignore case
        if there is None:
            self.broken[name] = "a list names this collage, but it is not there"
            return
        path = self._folder / there
        try:
            self._known[name] = (ref_of(path, self._relative_to), *read_size(path))
        except ImageError as error:
            self.broken[name] = str(error)
