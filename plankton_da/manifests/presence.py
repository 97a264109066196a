"""Which images of a manifest are there at all; nothing is opened but archives' contents lists.

Folders and archives are listed once each instead of asking for every file: ten million questions to
a network drive take hours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images.archives import opened_archive
from plankton_da.images.refs import file_of
from plankton_da.images.remote import REMOTE
from plankton_da.manifests.columns import arrow_of

_ASK_SINGLY = 16  # a folder with fewer rows than this is not listed
_ROWS_AT_ONCE = 1 << 18
_PLAIN = r"^(?:[^%!#]+(?:#\d[\d,]*)?)?$"
_PART = r"^([^%!#]+)#\d[\d,]*$"
_MEMBER = "^([^%!#]+!)[^%!#]+$"


def missing_images(images: pd.Series[str], root: Path) -> NDArray[np.bool_]:
    """Rows (N,) whose ref names no file (or, in an archive, no member); '' counts as missing.

    Images that are elsewhere (``https://``) are taken as there: nobody asked to use the network.
    """
    refs = arrow_of(images)
    missing = np.ones(len(refs), dtype=bool)
    for place, rows in _by_place(refs):
        here = _rows_of(refs, rows)
        if place is not None and len(rows) >= _ASK_SINGLY:
            listed = _list(place, root)
            if listed is None:
                continue
            found = _mask(pc.is_in(_without_part(here), value_set=listed))
            missing[rows[found]] = False
            rows, here = rows[~found], here.filter(pa.array(~found))
        for row, ref in zip(rows.tolist(), here.to_pylist(), strict=True):
            missing[row] = not _is_there(ref, root)
    missing[_mask(pc.match_substring_regex(refs, REMOTE))] = False
    return missing


def _by_place(refs: pa.Array) -> Iterator[tuple[str | None, NDArray[np.intp]]]:
    """Each folder (``a/b/``, or '') and archive (``a.zip!``) with its rows; None: all others."""
    starts = range(0, len(refs), _ROWS_AT_ONCE)
    parts = [_places_of(refs.slice(start, _ROWS_AT_ONCE)).dictionary_encode() for start in starts]
    if not parts:
        return
    places = pa.chunked_array(parts).unify_dictionaries().combine_chunks()
    codes = places.indices.fill_null(-1).to_numpy()
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-2))
    for rows in np.split(order, begins[1:]):
        yield places[int(rows[0])].as_py(), rows


def _places_of(refs: pa.Array) -> pa.Array:
    """The folder or archive of each ref, null where that is not to be seen at once."""
    folders = pc.replace_substring_regex(refs, "[^/]*$", "")
    plain = pc.match_substring_regex(refs, _PLAIN)
    if pc.all(plain).as_py():
        return folders
    archives = pc.replace_substring_regex(refs, _MEMBER, r"\1")
    others = pc.if_else(pc.ends_with(archives, "!"), archives, None)
    return pc.if_else(plain, folders, others)


def _without_part(refs: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(refs, _PART, r"\1")


def _rows_of(refs: pa.Array, rows: NDArray[np.intp]) -> pa.Array:
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows):
        return refs.slice(first, len(rows))
    return refs.take(pa.array(rows))


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
