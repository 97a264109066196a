"""What is to be classified: folders, image files, archives and manifests as one ordered stream."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from plankton_da.errors import DataError, ImageError
from plankton_da.images.refs import rebase, ref_of
from plankton_da.prediction.found import Found, found_file
from plankton_da.prediction.shards import Shard
from plankton_da.prediction.sources import Source, open_sources
from plankton_da.prediction.walk import walk_folder
from plankton_da.prediction.walk_archives import walk_archive
from plankton_da.prediction.walk_bins import walk_bin

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


class _Listed(NamedTuple):
    found: Found
    instrument: str
    source: int
    row: int


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
        shard: Shard | None = None,
    ) -> None:
        """``folder`` is that of the result; ``instrument`` that of images without a manifest.

        ``override``: ``instrument`` also replaces what manifests say. ``shard``: only its items.

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
        self._devices = [_device(source.path) for source in self._sources]
        self.shard = shard
        self.listing: tuple[int, str] | None = None
        """of all shards together: number of items, sha256 of their object_ids; after iterating"""
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
    def pixel_sizes(self) -> dict[str, float]:
        """Instrument -> side of its pixels in micrometres, as the manifests say (their median)."""
        from plankton_da.manifests.pixel_sizes import median_sizes

        tables = [source.manifest.table for source in self._sources if source.manifest is not None]
        if self._override:
            tables = [table.assign(instrument=self._instrument) for table in tables]
        return median_sizes(tables)

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
        digest = hashlib.sha256()
        position = -1
        for position, listed in enumerate(self._listed(self.ignored)):
            if self.shard is not None:
                digest.update(listed.found.object_id.encode() + b"\0")
                if not self.shard.has(position):
                    continue
            size, stamp, problem = listed.found.state()
            yield Item(
                listed.found.object_id,
                listed.found.ref,
                listed.instrument,
                size,
                stamp,
                problem,
                listed.source,
                listed.row,
            )
        self.listing = (position + 1, digest.hexdigest())

    def count(self) -> int:
        """How many items there are; faster than iterating, since files are not looked at."""
        listed = self._listed(Counter(), in_order=False)
        if self.shard is None:
            return sum(1 for _ in listed)
        return sum(1 for position, _ in enumerate(listed) if self.shard.has(position))

    def is_empty(self) -> bool:
        """Whether there is no image at all, in no shard."""
        return next(self._listed(Counter(), in_order=False), None) is None

    def check_still_there(self) -> None:
        """Make sure that no INPUT was lost: unmounted, or removed.

        Raises
        ------
        DataError
            One was.
        """
        for source, device in zip(self._sources, self._devices, strict=True):
            if source.kind in ("folder", "archive", "bin") and _device(source.path) != device:
                raise DataError(
                    f"{source.path}: this INPUT is not there any more (unmounted, or removed); "
                    f"finished work is kept, the same command continues when it is back"
                )

    def shard_told(self) -> dict[str, Any] | None:
        """What joining the shards must know; after iterating. None: this is no shard."""
        if self.shard is None or self.listing is None:
            return None
        images, object_ids = self.listing
        return {**asdict(self.shard), "images_of_all": images, "object_ids_sha256": object_ids}

    def _listed(self, ignored: Counter[str], *, in_order: bool = True) -> Iterator[_Listed]:
        for number, source in enumerate(self._sources):
            if source.manifest is not None:
                yield from self._manifest_rows(source.manifest, number)
                continue
            for found in self._found(source, ignored, in_order):
                yield _Listed(found, self._instrument, number, -1)

    def _found(self, source: Source, ignored: Counter[str], in_order: bool) -> Iterator[Found]:
        ref = ref_of(source.path, self.folder)
        path = str(source.path)
        if source.kind == "folder":
            yield from walk_folder(path, ref, source.prefix, ignored, in_order=in_order)
        elif source.kind == "archive":
            yield from walk_archive(path, ref, source.prefix, ignored)
        elif source.kind == "bin":
            yield from walk_bin(path, ref, (source.prefix or source.path.name)[: -len(".roi")])
        else:
            yield found_file(path, ref, source.prefix or source.path.name)

    def _manifest_rows(self, manifest: Manifest, number: int) -> Iterator[_Listed]:
        root = manifest.root.resolve()
        table = manifest.table
        for start in range(0, len(table), _ROWS_AT_ONCE):
            part = table.iloc[start : start + _ROWS_AT_ONCE]
            rows = zip(part["object_id"], part["image"], part["instrument"], strict=True)
            for row, (object_id, image, instrument) in enumerate(rows, start):
                ref, path = rebase(image, root, self.folder)
                if self._override:
                    instrument = self._instrument
                yield _Listed(found_file(path, ref, object_id), instrument, number, row)


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None
