"""What is to be classified: folders, image files, archives and manifests as one ordered stream."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plankton_da.errors import ImageError
from plankton_da.images.refs import encode_name, file_of, ref_of
from plankton_da.prediction.found import Found, found_file
from plankton_da.prediction.sources import Source, open_sources
from plankton_da.prediction.walk import walk_folder
from plankton_da.prediction.walk_archives import walk_archive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plankton_da.manifests.table import Manifest

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Item:
    """One image that is to get one row."""

    object_id: str
    image: str
    """ref, relative to the folder of the result"""
    instrument: str
    size: int
    """bytes; -1 where unknown"""
    stamp: int
    """changes with the content: mtime in ns, or the CRC of an archive's member"""
    problem: ImageError | None
    """why it cannot be opened, where that is known already"""
    source: int
    """number of the INPUT it comes from, from 0"""
    row: int
    """its row in that INPUT's manifest, or -1"""

    def key(self) -> bytes:
        """16 bytes that stand for this image in this state."""
        text = "\0".join(
            (self.object_id, self.image, self.instrument, str(self.size), str(self.stamp))
        )
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Inputs:
    """All INPUTs of one command; iterating yields the ``Item`` of every image in a stable order.

    The order is that of the INPUTs; in a folder, folder by folder with names sorted by their bytes;
    in an archive, by name; in a manifest, its own.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        folder: Path,
        *,
        instrument: str,
        override: bool = False,
    ) -> None:
        """``folder`` is that of the result; ``instrument`` that of images without a manifest.

        ``override``: ``instrument`` also replaces what manifests say.

        Raises
        ------
        DataError
            An INPUT that does not exist or is of no known kind (all are named).
        ManifestError
            A manifest with problems, or an object_id in two manifests.
        UsageError
            No INPUT, or the same one twice.
        """
        self.folder = folder.resolve()
        self._instrument = instrument
        self._override = override
        self._sources = open_sources(paths)
        self.ignored: Counter[str] = Counter()
        """suffix -> files that were passed over since they are no images; filled by iterating"""

    @property
    def names(self) -> tuple[str, ...]:
        """The INPUTs as refs relative to the folder of the result."""
        return tuple(ref_of(source.path, self.folder) for source in self._sources)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The INPUTs that are folders."""
        return tuple(source.path for source in self._sources if source.kind == "folder")

    @property
    def instruments(self) -> tuple[str, ...]:
        """Every instrument that an item may have, sorted."""
        found = set()
        for source in self._sources:
            if source.manifest is None or self._override:
                found.add(self._instrument)
            else:
                found.update(source.manifest.instruments)
        return tuple(sorted(found))

    @property
    def manifests(self) -> dict[str, str]:
        """Ref of each manifest -> its fingerprint."""
        return {
            name: source.manifest.fingerprint
            for name, source in zip(self.names, self._sources, strict=True)
            if source.manifest is not None
        }

    @property
    def carried(self) -> tuple[str, ...]:
        """Columns of the manifests that the result carries on, in order of appearance."""
        return tuple(dict.fromkeys(name for source in self._sources for name in source.carried))

    def carried_values(
        self, column: str, sources: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> NDArray[np.object_]:
        """Values of one carried column for items given by source and row; '' for none."""
        values = np.full(len(rows), "", dtype=object)
        for number, source in enumerate(self._sources):
            name = source.carried.get(column)
            chosen = sources == number
            if source.manifest is not None and name is not None and chosen.any():
                values[chosen] = source.manifest.table[name].iloc[rows[chosen]].to_numpy(object)
        return values

    def __iter__(self) -> Iterator[Item]:
        for number, source in enumerate(self._sources):
            if source.manifest is not None:
                yield from self._manifest_items(source.manifest, number)
                continue
            for found in self._found(source, self.ignored):
                size, stamp, problem = found.state()
                yield Item(
                    found.object_id,
                    found.ref,
                    self._instrument,
                    size,
                    stamp,
                    problem,
                    number,
                    -1,
                )

    def count(self) -> int:
        """How many items there are; faster than iterating, since files are not looked at."""
        ignored: Counter[str] = Counter()
        return sum(
            len(source.manifest.table)
            if source.manifest is not None
            else sum(1 for _ in self._found(source, ignored))
            for source in self._sources
        )

    def _found(self, source: Source, ignored: Counter[str]) -> Iterator[Found]:
        ref = ref_of(source.path, self.folder)
        path = str(source.path)
        if source.kind == "folder":
            yield from walk_folder(path, ref, source.prefix, ignored)
        elif source.kind == "archive":
            yield from walk_archive(path, ref, source.prefix, ignored)
        else:
            yield found_file(path, ref, source.prefix or source.path.name)

    def _manifest_items(self, manifest: Manifest, number: int) -> Iterator[Item]:
        root = manifest.root.resolve()
        base = ref_of(root, self.folder)
        table = manifest.table
        for start in range(0, len(table), _ROWS_AT_ONCE):
            part = table.iloc[start : start + _ROWS_AT_ONCE]
            rows = zip(part["object_id"], part["image"], part["instrument"], strict=True)
            for row, (object_id, image, instrument) in enumerate(rows, start):
                ref, path = _rebase(image, base, root, self.folder)
                size, stamp, problem = found_file(path, ref, object_id).state()
                if self._override:
                    instrument = self._instrument
                yield Item(object_id, ref, instrument, size, stamp, problem, number, row)


def _rebase(ref: str, base: str, root: Path, folder: Path) -> tuple[str, str]:
    """A manifest's ref relative to ``folder``, and the path of the file that holds the image.

    ``base`` is ``root``, the manifest's folder, relative to ``folder``.
    """
    if os.path.isabs(ref) or any(mark in ref for mark in "%!#\\"):
        path, members, part = file_of(ref, root)
        inside = "".join(f"!{encode_name(member)}" for member in members)
        inside += f"#{part}" if part else ""
        return ref_of(path, folder) + inside, str(path)
    return (
        posixpath.normpath(f"{base}/{ref}") if base != "." else ref,
        os.path.join(root, ref),
    )
