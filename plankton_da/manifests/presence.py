"""Which images of a manifest are there at all; nothing is opened but archives' contents lists.

Folders and archives are listed once each instead of asking for every file: ten million questions to
a network drive take hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images.archives import opened_archive
from plankton_da.images.refs import file_of
from plankton_da.images.remote import REMOTE
from plankton_da.manifests.columns import chunks_of, pieces
from plankton_da.manifests.fingerprint import letters
from plankton_da.manifests.numbered import numbered_files

_ASK_SINGLY = 16  # a folder with fewer rows than this is not listed
_ROWS_AT_ONCE = 1 << 18
_TEXT = pa.large_string()
_PLAIN = "^[^%!#]*$"
_NUMBERS = r"^\d[\d,]*$"
_MEMBER = "^([^%!#]+!)[^%!#]+$"

_Values = TypeVar("_Values", pa.Array, pa.ChunkedArray)
_PlacesOf = Callable[[pa.Array], pa.DictionaryArray]


def missing_images(images: pd.Series[str], root: Path) -> NDArray[np.bool_]:
    """Rows (N,) whose ref names no file (or, in an archive, no member); '' counts as missing.

    Images that are elsewhere (``https://``) are taken as there: nobody asked to use the network.
    """
    refs = chunks_of(images)
    missing = np.ones(len(refs), dtype=bool)
    parted, files = _files_of(refs)
    missing[parted] = False
    whole = np.flatnonzero(missing)
    missing[whole] = _missing(_rows_of(refs, whole), root, _places_of)
    # thousands of images of a bin or a collage are one question
    of_files = _missing(pa.chunked_array([files.dictionary]), root, _places_of)
    missing[parted] = of_files[files.indices.to_numpy()]
    odd = parted[missing[parted]]  # the # may be in the file's name
    missing[odd] = _missing(_rows_of(refs, odd), root, _folders_of)
    left = np.flatnonzero(missing)
    remote = _mask(pc.match_substring_regex(_rows_of(refs, left), REMOTE))
    missing[left[remote]] = False
    return missing


def _missing(refs: pa.ChunkedArray, root: Path, places_of: _PlacesOf) -> NDArray[np.bool_]:
    """Rows (N,) whose ref names nothing on this machine."""
    missing = np.ones(len(refs), dtype=bool)
    for place, rows in _by_place(refs, places_of):
        here = _rows_of(refs, rows)
        if place is not None and len(rows) >= _ASK_SINGLY:
            listed = _list(place, root)
            if listed is None:
                continue
            found = _mask(pc.is_in(here, value_set=listed))
            missing[rows[found]] = False
            rows, here = rows[~found], here.filter(pa.array(~found))
        for row, ref in zip(rows.tolist(), here.to_pylist(), strict=True):
            missing[row] = not _is_there(ref, root)
    return missing


def _files_of(refs: pa.ChunkedArray) -> tuple[NDArray[np.intp], pa.DictionaryArray]:
    """Rows (P,) that name a part of a file, such as ``a.roi#14``, and their files (P,)."""
    rows = [np.empty(0, dtype=np.intp)]
    files = [pa.array([], _TEXT).dictionary_encode()]
    stop = 0
    for here in pieces(refs, _ROWS_AT_ONCE):
        start, stop = stop, stop + len(here)
        numbered = numbered_files(here)
        if numbered is not None:
            rows.append(np.arange(start, stop))
            files.append(numbered)
            continue
        if not _has(here, b"#"):
            continue
        halves = pc.split_pattern(here, "#", max_splits=1)
        parted = np.flatnonzero(pc.list_value_length(halves).to_numpy() == 2)
        halves = _rows_of(halves, parted)
        file, part = pc.list_element(halves, 0), pc.list_element(halves, 1)
        good = _mask(pc.match_substring_regex(part, _NUMBERS))
        if _has(here, b"%!"):
            good &= _mask(pc.match_substring_regex(file, _PLAIN))
        rows.append(start + parted[good])
        files.append(file.filter(pa.array(good)).dictionary_encode())
    return np.concatenate(rows), pa.chunked_array(files).unify_dictionaries().combine_chunks()


def _has(refs: pa.Array, marks: bytes) -> bool:
    """Whether one of the marks, ASCII, is anywhere in the refs."""
    found = np.frombuffer(letters(refs), np.uint8)
    return any(bool((found == mark).any()) for mark in marks)


def _by_place(
    refs: pa.ChunkedArray, places_of: _PlacesOf
) -> Iterator[tuple[str | None, NDArray[np.intp]]]:
    """Each folder (``a/b/``, or '') and archive (``a.zip!``) with its rows; None: all others."""
    parts = [places_of(piece) for piece in pieces(refs, _ROWS_AT_ONCE)]
    if not parts:
        return
    places = pa.chunked_array(parts).unify_dictionaries().combine_chunks()
    codes = places.indices.fill_null(-1).to_numpy()
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-2))
    for rows in np.split(order, begins[1:]):
        yield places[int(rows[0])].as_py(), rows


def _places_of(refs: pa.Array) -> pa.DictionaryArray:
    """The folder or archive of each ref, null where that is not to be seen at once."""
    if not _has(refs, b"%!#"):
        return _folders_of(refs)
    folders = _folders_of(refs).cast(_TEXT)
    archives = pc.replace_substring_regex(refs, _MEMBER, r"\1")
    others = pc.if_else(pc.ends_with(archives, "!"), archives, None)
    plain = pc.match_substring_regex(refs, _PLAIN)
    return pc.if_else(plain, folders, others).dictionary_encode()


def _folders_of(refs: pa.Array) -> pa.DictionaryArray:
    halves = pc.split_pattern(refs, "/", max_splits=1, reverse=True)
    if pc.min(pc.list_value_length(halves)).as_py() == 1:  # some lie beside the manifest
        return pc.replace_substring_regex(refs, "[^/]*$", "").dictionary_encode()
    folders = pc.list_element(halves, 0).dictionary_encode()
    slash, nothing = pa.scalar("/", _TEXT), pa.scalar("", _TEXT)
    names = pc.binary_join_element_wise(folders.dictionary, nothing, slash)
    return pa.DictionaryArray.from_arrays(folders.indices, names)


def _rows_of(values: _Values, rows: NDArray[np.intp]) -> _Values:
    if not len(rows):
        return values.slice(0, 0)
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows):
        return values.slice(first, len(rows))
    return values.take(pa.array(rows))


def _list(place: str, root: Path) -> pa.Array | None:
    """Refs of all files of a folder or archive; None where there is no such folder."""
    names: list[str] = []
    try:
        if place.endswith("!"):
            archive = opened_archive(root / place[:-1])
            names = [member.name for member in archive.members()]
        else:
            names = _files_in(root / place)
    except (OSError, ValueError, ImageError):
        if not place.endswith("!") and not os.path.isdir(root / place):
            return None
    return pa.array([place + name for name in names if _is_unicode(name)], pa.large_string())


def _files_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if _is_file(entry)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    # of a link to itself, entry.is_file() raises
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def _is_unicode(name: str) -> bool:
    """False where bytes are not UTF-8: such a name stands percent-encoded in a ref."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _is_there(ref: str, root: Path) -> bool:
    path, members, _ = file_of(ref, root)
    try:
        if not members:
            return path.is_file()
        opened_archive(path, members[:-1]).sizes(members[-1])
    except (OSError, ValueError, KeyError, ImageError):
        return False
    return True


def _mask(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)
