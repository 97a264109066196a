"""The file that people get: every row in order, CSV or Parquet, whole or not at all."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from plankton_da.errors import UsageError
from plankton_da.prediction.files import replacing

SUFFIXES = (".csv", ".parquet")
_QUOTED = re.compile('[",\r\n]')


@dataclass
class Tally:
    """Counts of a result's rows."""

    images: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """by code"""

    def add(self, rows: pa.Table) -> None:
        """Count the rows of one table of predictions."""
        self.images += len(rows)
        self.labels.update(text for text in rows["label"].to_pylist() if text)
        self.errors.update(text.split(":")[0] for text in rows["error"].to_pylist() if text)


def check_suffix(out: Path) -> None:
    """Refuse a result that is neither CSV nor Parquet (``UsageError``)."""
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {out}: give a name that ends in {' or '.join(SUFFIXES)}")


def write_result(
    out: Path, tables: Iterable[pa.Table], before: Callable[[str, Tally], None]
) -> Tally:
    """Write all rows as ``out``, atomically; the bytes depend on the rows alone.

    ``before`` is called with the file's sha256 and the counts just before the file takes its place.

    Raises
    ------
    OutputError
        The file cannot be written; an older one is untouched.
    """
    tally = Tally()
    with replacing(out) as file:
        hashed = _Hashed(file)
        writer = _write_csv if out.suffix.lower() == ".csv" else _write_parquet
        with writer(hashed) as write:
            for table in tables:
                tally.add(table)
                write(table)
        before(hashed.hexdigest(), tally)
    return tally


class _Hashed:
    """A file to write to that knows the sha256 of what was written."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.discarded = False
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        if self.discarded:
            return len(data)
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self._file.tell()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def _write_csv(file: _Hashed) -> Iterator[Callable[[pa.Table], None]]:
    started = False

    def write(table: pa.Table) -> None:
        nonlocal started
        if not started:
            started = True
            file.write((",".join(map(_field, table.column_names)) + "\n").encode())
        columns = [_fields(column) for column in table.columns]
        lines = map(",".join, zip(*columns, strict=True))
        file.write("".join(f"{line}\n" for line in lines).encode())

    yield write


@contextmanager
def _write_parquet(file: _Hashed) -> Iterator[Callable[[pa.Table], None]]:
    writer: pq.ParquetWriter | None = None

    def write(table: pa.Table) -> None:
        nonlocal writer
        if writer is None:
            writer = pq.ParquetWriter(
                pa.PythonFile(file, mode="w"), table.schema, compression="zstd"
            )
        writer.write_table(table)

    try:
        yield write
    except BaseException:  # whatever it is, also Ctrl-C
        file.discarded = True  # closing the writer writes its footer, perhaps to a full disk
        raise
    finally:
        if writer is not None:
            writer.close()


def _fields(column: pa.ChunkedArray) -> list[str]:
    if pa.types.is_floating(column.type):
        values = column.to_numpy().astype(np.float32)
        # the shortest text that reads back as the same float32
        return ["" if value == "nan" else value for value in values.astype(str).tolist()]
    return [_field(text) for text in column.to_pylist()]


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
