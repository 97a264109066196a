"""The numbers of an IFCB ``.adc`` file, column by column and without a Python object per row.

A file that a power cut or a copy has damaged keeps its good rows: a field that is no number is
marked in its row alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import ImageError

MAX_BYTES = 32 * 2**20
"""size of an .adc file; a full bin's has about 5 MB"""
MAX_ROWS = 500_000
_MAX_DIGITS = 18  # so that any number fits into an int64
_MAX_FIELD = 32  # bytes of a decimal number

_NEWLINE, _RETURN, _COMMA, _MINUS, _ZERO = (ord(letter) for letter in "\n\r,-0")
_BLANKS = np.zeros(256, dtype=np.bool_)
_BLANKS[[0x20, 0x09, _RETURN, _NEWLINE]] = True

Longs = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class AdcTable:
    """Where the rows (N) of an ``.adc`` file and their fields are.

    Empty lines are no rows. ``lines`` (N,) are line numbers from 1; ``fields`` (N,) counts fields,
    and a comma at the end of a row begins another, empty one.
    """

    raw: NDArray[np.uint8]
    starts: Longs
    ends: Longs
    lines: Longs
    commas: Longs
    first_comma: Longs
    """(N,) position in ``commas`` of the row's first one"""
    fields: Longs

    def __len__(self) -> int:
        return len(self.starts)

    def integers(self, column: int) -> tuple[Longs, Mask]:
        """A column, counted from 0, as whole numbers (N,), and where (N,) it is one."""
        begin, end = self._spans(column)
        negative = (begin < end) & (self._at(begin) == _MINUS)
        begin = begin + negative
        length = end - begin
        valid = (length > 0) & (length <= _MAX_DIGITS)
        values = np.zeros(len(self), dtype=np.int64)
        for place in range(int(length.max(where=valid, initial=0))):
            digits = self._at(begin + place).astype(np.int64) - _ZERO
            inside = place < length
            valid &= ~inside | ((digits >= 0) & (digits <= 9))
            values = np.where(inside & valid, values * 10 + digits, values)
        return np.where(negative, -values, values), valid

    def decimals(self, column: int) -> NDArray[np.float64]:
        """A column as decimal numbers (N,); NaN where it is none."""
        begin, end = self._spans(column)
        length = end - begin
        usable = (length > 0) & (length <= _MAX_FIELD)
        text = np.zeros((len(self), _MAX_FIELD), dtype=np.uint8)
        for place in range(int(length.max(where=usable, initial=0))):
            text[:, place] = np.where(usable & (place < length), self._at(begin + place), 0)
        words = text.view(f"S{_MAX_FIELD}").ravel()
        words[~usable] = b"nan"
        try:
            return words.astype(np.float64)
        except ValueError:
            return np.array([_decimal(word) for word in words.tolist()], dtype=np.float64)

    def _at(self, places: Longs) -> NDArray[np.uint8]:
        return self.raw[np.minimum(places, len(self.raw) - 1)]

    def _spans(self, column: int) -> tuple[Longs, Longs]:
        """Begin and end (N,) of a field without the blanks around it; equal where it lacks."""
        begin, end = self.starts, self.ends
        if len(self.commas) == 0:
            begin = begin if column == 0 else end
        else:
            last = len(self.commas) - 1
            if column > 0:
                before = self.commas[np.minimum(self.first_comma + column - 1, last)]
                begin = np.where(column < self.fields, before + 1, end)
            after = self.commas[np.minimum(self.first_comma + column, last)]
            end = np.where(column < self.fields - 1, after, end)
        for _ in range(_MAX_FIELD):
            blank = (begin < end) & _BLANKS[self._at(begin)]
            if not blank.any():
                break
            begin = begin + blank
        for _ in range(_MAX_FIELD):
            blank = (begin < end) & _BLANKS[self._at(end - 1)]
            if not blank.any():
                break
            end = end - blank
        return begin, end


def parse_adc(raw: bytes) -> AdcTable:
    """Find the rows and fields of an ``.adc`` file; its lines may end as on any system.

    Raises
    ------
    ImageError
        too_large: more than ``MAX_BYTES`` or ``MAX_ROWS``.
    """
    if len(raw) > MAX_BYTES:
        raise ImageError("too_large", f"the .adc has more than {MAX_BYTES:,} bytes")
    letters = np.frombuffer(raw, dtype=np.uint8)
    breaks = letters == _NEWLINE
    returns = letters == _RETURN
    returns[:-1] &= ~breaks[1:]  # the first half of \r\n is a blank
    breaks |= returns
    count = int(np.count_nonzero(breaks))
    if count > MAX_ROWS:
        raise ImageError(
            "too_large", f"the .adc has {count:,} lines; at most {MAX_ROWS:,} are read"
        )
    at = np.flatnonzero(breaks)
    starts = np.concatenate([[0], at + 1]).astype(np.int64)
    ends = np.concatenate([at, [len(letters)]]).astype(np.int64)
    filled = np.zeros(len(letters) + 1, dtype=np.int32)  # letters up to each place
    np.cumsum(~_BLANKS[letters], out=filled[1:])
    rows = np.flatnonzero(filled[ends] > filled[starts])
    starts, ends = starts[rows], ends[rows]
    commas = np.flatnonzero(letters == _COMMA).astype(np.int64)
    first = np.searchsorted(commas, starts).astype(np.int64)
    fields = np.searchsorted(commas, ends).astype(np.int64) - first + 1
    return AdcTable(letters, starts, ends, rows.astype(np.int64) + 1, commas, first, fields)


def _decimal(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
