"""Files of refs that all name a numbered part, ``a.roi#14``, without a copy of their letters."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from plankton_da.manifests.fingerprint import letters

_VIEW = np.dtype([("length", "<i4"), ("prefix", "<u4"), ("buffer", "<i4"), ("offset", "<i4")])
"""a text of more than twelve bytes that stands elsewhere: Arrow columnar format, variable-size
binary view layout"""
_INLINE = 12
_MOST_DIGITS = 32
_MOST_LETTERS = np.iinfo(np.int32).max


def number_marks(
    refs: pa.Array,
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]] | None:
    """Of each ref (N,) where it starts, where its '#' is and where it ends, among ``letters``.

    None where not each ref has exactly one '#'.
    """
    ends = np.frombuffer(refs.buffers()[1], np.int64)[refs.offset : refs.offset + len(refs) + 1]
    starts, ends = ends[:-1] - ends[0], ends[1:] - ends[0]
    marks = np.flatnonzero(np.frombuffer(letters(refs), np.uint8) == ord("#"))
    if len(marks) != len(refs) or (marks < starts).any() or (marks >= ends).any():
        return None
    return starts, marks, ends


def numbered_files(refs: pa.Array) -> pa.DictionaryArray | None:
    """File (N,) of each ref, which is all before its '#'.

    None where they are not all of this kind: one '#' each, digits and commas after it, before it
    a file's name of some length without '%' and '!'.
    """
    found = number_marks(refs)
    text = np.frombuffer(letters(refs), np.uint8)
    if found is None or not len(refs) or len(text) > _MOST_LETTERS:
        return None
    starts, marks, ends = found
    lengths, digits = marks - starts, ends - marks - 1
    plain = lengths.min() > _INLINE and digits.min() >= 1 and digits.max() <= _MOST_DIGITS
    if not plain or not _are_numbers(text, marks, digits):
        return None
    if (text == ord("%")).any() or (text == ord("!")).any():
        return None
    views = np.zeros(len(refs), _VIEW)
    views["length"], views["offset"] = lengths, starts
    views["prefix"] = np.ndarray(len(text) - 3, "<u4", text, strides=(1,))[starts]
    buffers = [None, pa.py_buffer(views), pa.py_buffer(text)]
    try:
        files = pa.Array.from_buffers(pa.string_view(), len(refs), buffers).dictionary_encode()
    except pa.ArrowNotImplementedError:  # by an older pyarrow
        return None
    names = files.dictionary.cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(files.indices, names)


def _are_numbers(
    text: NDArray[np.uint8], marks: NDArray[np.intp], digits: NDArray[np.int64]
) -> bool:
    """Whether a digit, then digits and commas, follow each mark."""
    for place in range(int(digits.max())):
        signs = text[marks[digits > place] + (1 + place)]
        good = (signs >= ord("0")) & (signs <= ord("9"))
        if place:
            good |= signs == ord(",")
        if not good.all():
            return False
    return True
