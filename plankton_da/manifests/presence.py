"""Which images of a manifest are there at all; nothing is opened but archives' contents lists.

Folders are listed once each instead of asking for every file: ten million questions to a network
drive take hours.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from plankton_da.images.refs import file_of
from plankton_da.manifests.columns import arrow_of

_ASK_SINGLY = 16  # a folder with fewer rows than this is not listed


def missing_images(images: pd.Series[str], root: Path) -> NDArray[np.bool_]:
    """Rows (N,) whose ref names no file (or, in an archive, no member); '' counts as missing."""
    refs = arrow_of(images)
    missing = np.ones(len(refs), dtype=bool)
    files = pc.replace_substring_regex(refs, r"^([^%!#]+)#\d[\d,]*$", r"\1")  # without the part
    plain = ~_mask(pc.match_substring_regex(files, "[%!#]"))
    unsure = np.flatnonzero(~plain)
    numbers = np.flatnonzero(plain)
    if len(numbers):
        here = files.take(pa.array(numbers))
        listed, left = _look_in_folders(here, root)
        missing[numbers[listed]] = False
        unsure = np.concatenate([unsure, numbers[left]])
    contents: dict[Path, frozenset[str]] = {}
    for row in unsure.tolist():
        missing[row] = not _is_there(refs[row].as_py(), root, contents)
    return missing


def _look_in_folders(refs: pa.Array, root: Path) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Rows that a folder's list has, and the numbers of rows that must be asked for singly."""
    folders = pc.replace_substring_regex(refs, "[^/]*$", "").dictionary_encode()
    codes = folders.indices.to_numpy()
    rows_in = np.bincount(codes, minlength=len(folders.dictionary))
    found = [pa.array([], pa.large_string())]
    is_folder = np.ones(len(rows_in), dtype=bool)
    for code, folder in enumerate(folders.dictionary.to_pylist()):
        if rows_in[code] >= _ASK_SINGLY:
            try:
                names = _files_in(root / folder)
            except OSError:
                is_folder[code] = os.path.isdir(root / folder)
            else:
                found.append(pa.array([folder + name for name in names], pa.large_string()))
    listed = _mask(pc.is_in(refs, value_set=pa.concat_arrays(found)))
    return listed, np.flatnonzero(~listed & is_folder[codes])


def _files_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if _is_file(entry) and _is_unicode(entry.name)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    # of a link to itself, entry.is_file() raises
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def _is_unicode(name: str) -> bool:
    """False where bytes are not UTF-8: such a name stands percent-encoded in a ref."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _is_there(ref: str, root: Path, contents: dict[Path, frozenset[str]]) -> bool:
    path, members, _ = file_of(ref, root)
    try:
        if not path.is_file():
            return False
        if not members:
            return True
        if path not in contents:
            with zipfile.ZipFile(path) as archive:
                contents[path] = frozenset(archive.namelist())
        return members[0] in contents[path]
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _mask(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)
