"""``manual`` files of the IFCB's MATLAB tools: which class somebody gave each ROI of a bin.

Layout: https://github.com/hsosik/ifcb-analysis/wiki
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ManifestError

_MAX_BYTES = 32 * 2**20
_MAX_UNPACKED = 256 * 2**20
_HEADER_BYTES = 128
_COMPRESSED = 15  # type of an element
_MAX_ROIS = 1_000_000

# What scipy raises on damaged files
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    EOFError,
    struct.error,
    zlib.error,
    Warning,
)


def read_manual(path: Path, all_labels: bool) -> tuple[list[int], list[str]] | None:
    """Numbers of the ROIs that have a class, and their classes; None if the file is another kind.

    ``classlist`` has a row per ROI: its number, the class that a person gave it and the one that a
    classifier did, as numbers from 1 into ``class2use_manual``, or NaN.

    Parameters
    ----------
    path
        a .mat file of MATLAB 5 to 7
    all_labels
        take the classifier's class where there is no person's

    Raises
    ------
    ManifestError
        The file cannot be read, or its labels are no labels.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    raw = _read(path)
    _refuse_bombs(path, raw)
    wanted = ["classlist", "class2use_manual", "class2use_auto"]
    try:
        found = loadmat(path, variable_names=wanted, squeeze_me=False, chars_as_strings=True)
    except NotImplementedError:
        raise ManifestError(
            f"{path}: saved as MATLAB 7.3, which is not read; save it again with -v7"
        ) from None
    except (*_DAMAGE, MatReadError) as error:
        raise ManifestError(f"{path}: a damaged .mat file ({error})") from error
    if not {"classlist", "class2use_manual"} <= found.keys():
        return None
    classes = _names(found["class2use_manual"])
    automatic = _names(found["class2use_auto"]) if "class2use_auto" in found else []
    rows = np.asarray(found["classlist"])
    if rows.ndim != 2 or rows.shape[1] < 2 or rows.dtype.kind not in "fiu" or not classes:
        raise ManifestError(f"{path}: classlist is no table of numbers, or no classes are named")
    rows = rows[:_MAX_ROIS].astype(np.float64)
    numbers = rows[:, 0]
    good = (numbers >= 1) & (numbers < 2**31) & (numbers == np.floor(numbers))
    labels = _named(rows[:, 1], classes)
    if all_labels and rows.shape[1] > 2:
        labels = np.where(labels == "", _named(rows[:, 2], automatic or classes), labels)
    good &= labels != ""
    return numbers[good].astype(np.int64).tolist(), labels[good].tolist()


def _named(numbers: NDArray[np.float64], classes: list[str]) -> NDArray[np.object_]:
    known = (numbers >= 1) & (numbers <= len(classes)) & (numbers == np.floor(numbers))
    places = np.where(known, numbers, 0).astype(np.int64)
    return np.array(["", *classes], dtype=object)[places]


def _names(cells: NDArray[np.object_]) -> list[str]:
    """A cell array of strings."""
    if cells.dtype.kind != "O":
        return [str(name) for name in np.ravel(cells)]
    return [str(cell[0]) if np.size(cell) else "" for cell in np.ravel(cells)]


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ManifestError(f"{path}: more than {_MAX_BYTES:,} bytes: no manual labels")
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from error


def _refuse_bombs(path: Path, raw: bytes) -> None:
    """Raise ManifestError if what the file holds is unreasonably large once it is unpacked."""
    order = ">" if raw[126:128] == b"MI" else "<"
    at, unpacked = _HEADER_BYTES, 0
    while at + 8 <= len(raw):
        kind, size = struct.unpack_from(f"{order}II", raw, at)
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            try:
                part = stream.decompress(raw[at + 8 : at + 8 + size], _MAX_UNPACKED - unpacked + 1)
            except zlib.error as error:
                raise ManifestError(f"{path}: a damaged .mat file ({error})") from error
            unpacked += len(part)
        if unpacked > _MAX_UNPACKED:
            raise ManifestError(f"{path}: more than {_MAX_UNPACKED:,} bytes once unpacked")
        at += 8 + size
