"""The tables and images of an EcoTaxa import bundle: a folder, a zip, or one table beside images.

Source: the import page of EcoTaxa (https://ecotaxa.obs-vlfr.fr) and what its importer does.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from plankton_da.errors import DataError
from plankton_da.images.zips import DAMAGE

TABLE_NAME = re.compile(r"ecotaxa.*\.(tsv|txt)")
_UVP6 = re.compile(r".*Images\.zip")
"""a zip of a UVP6 project, which the importer opens where it finds one"""
_DEEPEST = 2
"""zips in zips: an archive may hold itself"""
MAX_UNPACKED = 64 * 2**30  # bytes


class Place(Protocol):
    """Files by their names, with ``/``."""

    def names(self) -> Iterable[str]:
        """Every file."""

    def has(self, name: str) -> bool:
        """Whether it is there."""

    def open(self, name: str) -> IO[bytes]:
        """Open a file; OSError or one of ``DAMAGE`` where that fails."""


@dataclass(frozen=True)
class BundleTable:
    """One table, and where the files are that it names."""

    shown: str
    """for messages"""
    place: Place
    name: str

    def path_of(self, image: str) -> str | None:
        """The name in ``place`` of an image that the table names; None if it leads outside."""
        if PurePosixPath(image).is_absolute() or re.match(r"[A-Za-z]:|\\", image):
            return None
        path = os.path.normpath(f"{os.path.dirname(self.name)}/{image}".lstrip("/"))
        return None if path.startswith("..") else path.replace(os.sep, "/")


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> Iterable[str]:
        for root, _, files in os.walk(self._folder):
            yield from ((Path(root) / file).relative_to(self._folder).as_posix() for file in files)

    def has(self, name: str) -> bool:
        return os.path.isfile(self._folder / name)

    def open(self, name: str) -> IO[bytes]:
        return (self._folder / name).open("rb")


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = frozenset(name for name in archive.namelist() if not name.endswith("/"))

    def names(self) -> Iterable[str]:
        return self._names

    def has(self, name: str) -> bool:
        return name in self._names

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)


@contextmanager
def open_bundle(path: Path) -> Iterator[list[BundleTable]]:
    """The tables that EcoTaxa's importer would find, sorted by name; zips in it are opened too.

    Raises
    ------
    DataError
        There is no such file or folder, or it is a zip that cannot be read.
    """
    with ExitStack() as stack:
        if path.is_dir():
            yield list(_tables(_Folder(path), f"{path}/", stack))
        elif not path.is_file():
            raise DataError(f"{path}: no such file or folder")
        elif path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
            yield list(_tables(_opened(path, str(path), stack), f"{path}!", stack))
        else:
            yield [BundleTable(str(path), _Folder(path.absolute().parent), path.name)]


def _tables(place: Place, before: str, stack: ExitStack, depth: int = 0) -> Iterator[BundleTable]:
    for name in sorted(place.names()):
        base = name.rpartition("/")[2]
        if TABLE_NAME.fullmatch(base):
            yield BundleTable(f"{before}{name}", place, name)
        elif _UVP6.fullmatch(base) and depth < _DEEPEST:
            inner = _opened(_unpacked(place, name, f"{before}{name}", stack), before + name, stack)
            yield from _tables(inner, f"{before}{name}!", stack, depth + 1)


def _opened(source: Path | IO[bytes], shown: str, stack: ExitStack) -> _Zip:
    try:
        return _Zip(stack.enter_context(zipfile.ZipFile(source)))
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{shown}: is no zip that can be read: {error}; make it again") from None


def _unpacked(place: Place, name: str, shown: str, stack: ExitStack) -> IO[bytes]:
    file: IO[bytes] = stack.enter_context(
        tempfile.TemporaryFile(prefix="plankton_da_")  # noqa: SIM115  # the stack closes it
    )
    try:
        with place.open(name) as packed:
            shutil.copyfileobj(packed, _Bounded(file, shown), 1 << 20)
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{shown}: cannot be unpacked: {error}; make it again") from None
    file.seek(0)
    return file


class _Bounded:
    def __init__(self, file: IO[bytes], shown: str) -> None:
        self._file = file
        self._shown = shown
        self._left = MAX_UNPACKED

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._shown}: more than {MAX_UNPACKED:,} bytes unpacked")
        return self._file.write(data)
