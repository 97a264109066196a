"""Where EcoTaxa tables and their images lie: folders, archives and archives in archives."""

from __future__ import annotations

import io
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from plankton_da.errors import ImageError, ManifestError
from plankton_da.images.archives import ARCHIVE_SUFFIXES, COMPRESSED_TARS, opened_archive
from plankton_da.images.refs import IMAGE_SUFFIXES, encode_name, ref_of
from plankton_da.images.zips import DAMAGE
from plankton_da.manifests.ecotaxa_tables import MANDATORY, column_name, is_table_name
from plankton_da.manifests.ingest.ecotaxa_rows import encoding_of, text_of

MAX_TABLE_BYTES = 2 * 2**30
"""a million objects with 160 columns have 1.4 GiB"""
_MAX_DEPTH = 4  # archives in archives
_TABLE_SUFFIXES = (".tsv", ".txt")
_HEAD = 1 << 16  # bytes in which the header of an unusually named table must lie
_IN_MEMORY = 64 * 2**20  # bytes of a table in an archive; larger ones wait in a temporary file


class Images(Protocol):
    """The images that a table's names lead to."""

    def ref(self, name: str) -> str | None:
        """The ref of ``img_file_name``, which counts from the table's folder; None: not there."""


@dataclass(frozen=True)
class TableFile:
    """A table that was found."""

    place: str
    """for messages: a path, or ``archive.zip!member``"""
    open: Callable[[], IO[bytes]]
    """raises ManifestError or OSError"""
    images: Images


@dataclass
class Places:
    """A search for tables; what it passed over and could not read collects here."""

    relative_to: Path
    """folder of the manifest to be"""
    failed: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0
    images: int = 0
    """image files seen beside tables, named by them or not"""
    _entered: set[tuple[int, int] | str] = field(default_factory=set)

    def tables(self, path: Path) -> Iterator[TableFile]:
        """Every table of an INPUT (a table, a folder or an archive), in a stable order."""
        if path.is_dir():
            yield from self._in_folder(str(path))
        elif path.suffix.lower() in ARCHIVE_SUFFIXES:
            yield from self._in_archive(path, ())
        elif path.name.lower().endswith(COMPRESSED_TARS):
            words = "a compressed tar cannot be read in place: unpack it, or make it a plain tar"
            self.failed.append((str(path), words))
        else:
            yield self._file(str(path))

    def _in_folder(self, folder: str) -> Iterator[TableFile]:
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in self._entered:
                return
            self._entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                found = sorted((os.fsencode(entry.name), _kind(entry)) for entry in entries)
        except OSError as error:
            self.failed.append((folder, f"the folder cannot be read: {error.strerror}"))
            return
        folders = []
        for raw, kind in found:
            name = os.fsdecode(raw)
            path = os.path.join(folder, name)
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                self.hidden += 1
            elif kind == "folder":
                folders.append(path)
            elif kind == "other":
                continue
            elif suffix in ARCHIVE_SUFFIXES:
                yield from self._in_archive(Path(path), ())
            elif suffix in IMAGE_SUFFIXES:
                self.images += 1
            elif suffix in _TABLE_SUFFIXES:
                table = self._file(path)
                if is_table_name(name) or _has_header(table):
                    yield table
        for path in folders:
            yield from self._in_folder(path)

    def _file(self, path: str) -> TableFile:
        def opened() -> IO[bytes]:
            if os.path.getsize(path) > MAX_TABLE_BYTES:
                raise ManifestError(_too_large(os.path.getsize(path)))
            return open(path, "rb")  # whoever asks for it closes it

        return TableFile(path, opened, _FolderImages(os.path.dirname(path), self.relative_to))

    def _in_archive(self, path: Path, inner: tuple[str, ...]) -> Iterator[TableFile]:
        place = "!".join((str(path), *inner))
        real = "!".join((os.path.realpath(path), *inner))
        if real in self._entered:
            return
        self._entered.add(real)
        try:
            archive = opened_archive(path, inner)
            sizes = {member.name: member.size for member in archive.members()}
        except (*DAMAGE, ImageError, OSError) as error:
            self.failed.append((place, f"the archive cannot be read: {error}"))
            return
        if archive.damage:
            self.failed.append((place, archive.damage))
        names = {name.replace("\\", "/"): name for name in sizes}
        start = "!".join((ref_of(path, self.relative_to), *map(encode_name, inner)))
        for name in sorted(names):
            member = names[name]
            base, last = posixpath.split(name)
            suffix = posixpath.splitext(last)[1].lower()
            if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
                self.hidden += 1
            elif suffix in ARCHIVE_SUFFIXES and len(inner) < _MAX_DEPTH:
                yield from self._in_archive(path, (*inner, member))
            elif suffix in IMAGE_SUFFIXES:
                self.images += 1
            elif suffix in _TABLE_SUFFIXES:
                opened = _member_opener(path, inner, member, sizes[member])
                table = TableFile(f"{place}!{member}", opened, _ArchiveImages(start, base, names))
                if is_table_name(last) or _has_header(table):
                    yield table


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
    except OSError:  # a link to itself
        return "other"  # like a pipe, which would be waited for without end


def _member_opener(
    path: Path, inner: tuple[str, ...], member: str, size: int
) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        if size > MAX_TABLE_BYTES:
            raise ManifestError(_too_large(size))
        stream = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # outlives this block
        try:
            opened_archive(path, inner).unpack(member, stream)
            stream.seek(0)
        except (*DAMAGE, ImageError) as error:
            stream.close()
            raise ManifestError(f"cannot be taken out of the archive: {error}") from error
        except BaseException:  # whatever it is, also Ctrl-C: the file is closed and it goes on
            stream.close()
            raise
        return stream

    return opened


class _FolderImages:
    """Images beside a table; each folder is listed once."""

    def __init__(self, folder: str, relative_to: Path) -> None:
        self._folder = folder
        self._relative_to = relative_to
        self._listed: dict[str, tuple[str, frozenset[str]]] = {}

    def ref(self, name: str) -> str | None:
        return self._ref(name) or ("\\" in name and self._ref(name.replace("\\", "/"))) or None

    def _ref(self, name: str) -> str | None:
        below, last = os.path.split(name)
        if below not in self._listed:
            self._listed[below] = self._list(os.path.normpath(os.path.join(self._folder, below)))
        ref, names = self._listed[below]
        return f"{ref}{encode_name(last)}" if last in names else None

    def _list(self, folder: str) -> tuple[str, frozenset[str]]:
        try:
            names = frozenset(os.listdir(folder))
        except (OSError, ValueError):  # no such folder, or a name that can be none
            return "", frozenset()
        ref = ref_of(folder, self._relative_to)
        return ("" if ref == "." else f"{ref}/"), names


class _ArchiveImages:
    """Images in the archive that a table is in."""

    def __init__(self, start: str, base: str, names: dict[str, str]) -> None:
        self._start = start
        self._base = base
        self._names = names

    def ref(self, name: str) -> str | None:
        inside = posixpath.normpath(posixpath.join(self._base, name.replace("\\", "/")))
        member = self._names.get(inside)
        return None if member is None else f"{self._start}!{encode_name(member)}"


def _has_header(table: TableFile) -> bool:
    """Whether a file that is not called like a table begins like one."""
    try:
        with table.open() as stream:
            head = io.BytesIO(stream.read(_HEAD))
        line = text_of(head, encoding_of(io.BytesIO(head.getvalue()))).readline()
    except (OSError, ManifestError, UnicodeError):
        return False
    names = {column_name(cell.strip('"')) for cell in line.split("\t")}
    return names.issuperset(MANDATORY)


def _too_large(size: int) -> str:
    return f"{size:,} bytes; a table may have {MAX_TABLE_BYTES:,}: divide it"
