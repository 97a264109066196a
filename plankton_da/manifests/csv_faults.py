"""Where in a CSV file its faults are: read record by record, where Arrow could not."""

from __future__ import annotations

import contextlib
import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plankton_da.manifests.problems import Problem, Problems


def records(path: Path, strict: bool = False) -> Iterator[tuple[int, int, list[str]]]:
    """First and last line of each record of a CSV file, and its values; no blank lines."""
    with path.open("rb") as stream, _values_of_any_length():
        text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        reader = csv.reader(text, strict=strict)
        begin = 1
        for record in reader:
            if record:
                yield begin, reader.line_num, record
            begin = reader.line_num + 1


@contextlib.contextmanager
def _values_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def record_lines(path: Path, width: int) -> NDArray[np.int64]:
    """The line where each record of the given width begins, the header left out."""
    lines = array("q")
    for line, _, record in records(path):
        if len(record) == width:
            lines.append(line)
    return np.frombuffer(lines, dtype=np.int64)[1:]  # without the header


def wrong_widths(path: Path, header: Sequence[str]) -> Problems:
    """The rows with more or fewer values than the header."""
    problems = Problems()
    width = len(header)
    for line, _, record in records(path):
        if len(record) != width:
            kind = "short_row" if len(record) < width else "long_row"
            words = (
                f"expected {width} values, one for each column of the header; found {len(record)}: "
                f"{_cut(','.join(record))}; a value that holds a comma stands in double quotes"
            )
            problems.add([Problem(str(path), line, None, kind, words)])
    return problems


def unclosed_quote(path: Path) -> list[Problem]:
    """The row whose quotation mark is never closed, if there is one."""
    begin = 1
    try:
        for _, end, _ in records(path, strict=True):
            begin = end + 1
    except csv.Error as error:
        words = (
            f'a double quote (") in the row that begins here is not closed ({error}), which hides '
            'the rows after it: close it, or double it ("") where it is part of a value'
        )
        return [Problem(str(path), begin, None, "unclosed_quote", words)]
    except UnicodeDecodeError:
        pass  # reported with its own words
    return []


def undecodable(path: Path) -> Problems:
    """The lines that are not UTF-8."""
    problems = Problems()
    with path.open("rb") as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            words = 'is UTF-16, not UTF-8; save it as "CSV UTF-8"'
            problems.add([Problem(str(path), 1, None, "not_utf8", words)])
            return problems
        stream.seek(0)
        offset = 0
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                problems.add([_not_utf8(path, number, offset, line, error.start)])
            offset += len(line)
    return problems


def _not_utf8(path: Path, number: int, offset: int, line: bytes, at: int) -> Problem:
    words = (
        f"not UTF-8: byte 0x{line[at]:02X} at position {offset + at} of the file, after "
        f"{_cut(line[:at].decode('utf-8')[-20:])!r}; save it as UTF-8, or if it is "
        f"Latin-1: iconv -f latin1 -t utf-8 {path.name} > new.csv"
    )
    return Problem(str(path), number, None, "not_utf8", words)


def _cut(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
