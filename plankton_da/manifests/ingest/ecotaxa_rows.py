"""Rows of an EcoTaxa table, as its line ends, quotation marks and encoding have them.

Written here rather than left to a CSV library, since a quotation mark that is not closed must cost
one row and not all that follow, and a message needs the line.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import IO, NamedTuple, TextIO

from plankton_da.errors import ManifestError
from plankton_da.manifests.ecotaxa_tables import FALLBACK_ENCODING, UTF8_BOM

MAX_LINE = 1 << 20
"""characters; the widest table seen has 282 columns and 13,000 characters a line"""
_MAX_LINES_OF_A_ROW = 100
_CHUNK = 1 << 20  # bytes
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Row(NamedTuple):
    """A row that is not blank, and the line that it begins in (the first is 1)."""

    line: int
    text: str | None
    """its cells between tabs, where no quotation mark and no line break is in them"""
    quoted: list[str] | None = None
    """its cells, where they are not ``text``"""
    problem: str = ""
    """why there are no cells"""

    @property
    def cells(self) -> list[str]:
        """The cells; none where there is a problem."""
        return self.text.split("\t") if self.text is not None else self.quoted or []


def encoding_of(stream: IO[bytes]) -> str:
    """The encoding of a table: by its first bytes, UTF-8 where all of it is, else latin-1."""
    first = stream.read(_CHUNK)
    if first.startswith(_UTF16_BOMS):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    chunk = first
    try:
        while chunk:
            decoder.decode(chunk)
            chunk = stream.read(_CHUNK)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return FALLBACK_ENCODING
    return "utf-8-sig"


def text_of(stream: IO[bytes], encoding: str) -> TextIO:
    """The table's text with its line ends as they stand.

    Raises
    ------
    ManifestError
        While reading: UTF-16 that is damaged.
    """
    if encoding == FALLBACK_ENCODING and stream.read(len(UTF8_BOM)) != UTF8_BOM:
        stream.seek(0)
    return io.TextIOWrapper(stream, encoding=encoding, newline="")


def rows_of(text: TextIO) -> Iterator[Row]:
    """Every row that is not blank.

    Raises
    ------
    ManifestError
        The bytes are not of the encoding that they begin with.
    """
    lines = _Lines(text)
    for number, line in lines:
        if len(line) > MAX_LINE:
            problem = f"a line of more than {MAX_LINE:,} characters"
            yield Row(number, None, problem=problem)
        elif '"' not in line:
            if line.strip():
                yield Row(number, line)
        else:
            even = line.count('"') % 2 == 0
            row = Row(number, None, _cells(line)) if even else _over_lines(number, line, lines)
            if row.problem or any(cell.strip() for cell in row.cells):
                yield row


def _over_lines(number: int, line: str, lines: _Lines) -> Row:
    """A row that begins in a line with an odd number of quotation marks."""
    taken: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        yield f"{line}\n"
        for following in lines:
            taken.append(following)
            if len(taken) >= _MAX_LINES_OF_A_ROW or len(following[1]) > MAX_LINE:
                return
            yield f"{following[1]}\n"

    try:
        return Row(number, None, next(csv.reader(feed(), delimiter="\t", strict=True)))
    except csv.Error as error:
        lines.give_back(taken)
        if "expected after" in str(error):  # marks inside a cell, which stand for themselves
            return Row(number, None, _cells(line))
        return Row(number, None, problem="a quotation mark is not closed")


def _cells(line: str) -> list[str]:
    """The cells of one line; marks that no cell begins with stand for themselves."""
    try:
        return next(csv.reader([line], delimiter="\t"))
    except csv.Error:  # a cell of more than 128 Ki characters
        return line.split("\t")


class _Lines:
    """Lines with their numbers from 1, without their ends (LF, CRLF or CR)."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._number = 0
        self._returned: deque[tuple[int, str]] = deque()

    def give_back(self, lines: list[tuple[int, str]]) -> None:
        """Lines that were read ahead in vain; they come again."""
        self._returned.extendleft(reversed(lines))

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        if self._returned:
            return self._returned.popleft()
        line = self._read()
        if not line:
            raise StopIteration
        self._number += 1
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith(("\n", "\r")):
            rest = self._read()
        return self._number, line.rstrip("\r\n")

    def _read(self) -> str:
        try:
            return self._text.readline(MAX_LINE + 2)
        except UnicodeError as error:
            raise ManifestError(
                f"is not the {self._text.encoding} that it begins as, after line {self._number}: "
                f"{error}; save it as UTF-8"
            ) from None
