"""Image files below an INPUT, be that a folder or an archive; nothing is unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from plankton_da.errors import ImageError, ManifestError
from plankton_da.images.archives import ARCHIVE_SUFFIXES, opened_archive
from plankton_da.images.refs import IMAGE_SUFFIXES, encode_name, ref_of
from plankton_da.manifests.ingest.places import Input, as_text
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.ingest.rows import Rows
from plankton_da.manifests.ingest.walk import Walk, no_image, no_regular_file
from plankton_da.manifests.problems import SHOWN_PER_CODE

_DEEPEST = 3  # archives in archives


class Picture(NamedTuple):
    """An image file."""

    parts: tuple[str, ...]
    """its path below the INPUT, archives on the way included, as text"""
    ref: str
    """relative to the manifest's folder"""

    @property
    def path(self) -> str:
        """The parts with ``/`` between."""
        return "/".join(self.parts)


class Pictures:
    """Finds the image files of INPUTs and keeps what else there is to be said of them."""

    def __init__(self, relative_to: Path) -> None:
        self.skipped: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []
        self.hidden = 0
        self._relative_to = relative_to

    def of(self, place: Input) -> Iterator[Picture]:
        """Every image file in the order of the names' bytes; archives on the way are entered."""
        if not place.is_folder:
            yield from self._in_archive(place.path, (), (), ref_of(place.path, self._relative_to))
            return
        walk = Walk(_no_image_or_archive)
        for below, names in walk.files(place.path):
            above = tuple(as_text(part) for part in below.split(os.sep)) if below else ()
            ref = ref_of(place.path / below, self._relative_to)
            ref = "" if ref == "." else f"{ref}/"
            for name in names:
                parts, child = (*above, as_text(name)), f"{ref}{encode_name(name)}"
                if _is_archive(name):
                    yield from self._in_archive(place.path / below / name, (), parts, child)
                else:
                    yield Picture(parts, child)
        self.skipped += walk.skipped
        self.failed += walk.failed
        self.hidden += walk.hidden

    def result(self, rows: Rows, expected: str, instrument: str = "") -> IngestResult:
        """The rows as a manifest; ``instrument`` where they have no such column.

        Raises
        ------
        ManifestError
            There is no row; ``expected`` says what was looked for.
        """
        if not len(rows):
            lines = [f"{place}: {why}" for place, why in (*self.failed, *self.skipped)]
            if len(lines) > SHOWN_PER_CODE:
                lines[SHOWN_PER_CODE:] = [f"... and {len(lines) - SHOWN_PER_CODE} more"]
            raise ManifestError("\n".join([f"no image found; expected {expected}", *lines]))
        table = rows.table(instrument) if instrument else rows.plain()
        return IngestResult(table, self.skipped, self.hidden, self.failed)

    def _in_archive(
        self, path: Path, inner: tuple[str, ...], above: tuple[str, ...], ref: str
    ) -> Iterator[Picture]:
        name = "!".join((str(path), *inner))
        try:
            archive = opened_archive(path, inner)
        except ImageError as error:
            self.failed.append((name, str(error)))
            return
        except OSError as error:
            self.failed.append((name, f"cannot be read: {error.strerror or error}"))
            return
        if archive.damage:
            self.failed.append((name, f"archive_damaged: {archive.damage}"))
        names = [member.name for member in archive.members()]
        del archive  # else it stays open while others are read
        for member in sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape")):
            parts = tuple(as_text(part) for part in member.split("/") if part not in ("", "."))
            suffix = os.path.splitext(member)[1].lower()
            if not parts or any(p.startswith(".") or p in ("__MACOSX", "Thumbs.db") for p in parts):
                self.hidden += 1
            elif suffix in IMAGE_SUFFIXES:
                yield Picture((*above, *parts), f"{ref}!{encode_name(member)}")
            elif suffix not in ARCHIVE_SUFFIXES:
                self.skipped.append((f"{name}!{member}", f"not an image by its suffix {suffix!r}"))
            elif len(inner) + 1 < _DEEPEST:
                inside = (*inner, member)
                yield from self._in_archive(
                    path, inside, (*above, *parts), f"{ref}!{encode_name(member)}"
                )
            else:
                self.skipped.append((f"{name}!{member}", "an archive too deep in archives"))


def _is_archive(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in ARCHIVE_SUFFIXES


def _no_image_or_archive(entry: os.DirEntry[str]) -> str | None:
    return no_regular_file(entry) if _is_archive(entry.name) else no_image(entry)
