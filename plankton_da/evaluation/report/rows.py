"""The rows of a predictions file, some ten thousand at a time, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from plankton_da.errors import ManifestError
from plankton_da.manifests.csv_faults import records
from plankton_da.prediction.export.reading import read_predictions
from plankton_da.prediction.predictions import COLUMNS

_OPTIONAL = ("label_2", "score_2", "true_label")
_SCORES = frozenset({"score", "raw_score", "score_2"})
_CHUNK = 1 << 23  # bytes
_ROWS = 1 << 16


class _FaultError(Exception):
    """Something in the file is not as ``classify`` writes it."""


def read_rows(path: Path) -> Iterator[pa.Table]:
    """The rows as tables of ``COLUMNS``, ``label_2``, ``score_2`` and ``true_label``.

    Text without nulls ('' for empty, also where the file lacks one of the last three columns) and
    float32 scores from 0 to 1 (null for empty).

    Raises
    ------
    ManifestError
        The file cannot be parsed, lacks a column of a prediction, or rows hold what they must not;
        the message lists every problem with its line.
    """
    is_parquet = path.suffix.lower() == ".parquet"
    try:
        for table in _read_parquet(path) if is_parquet else _read_csv(path):
            yield _checked(table)
    except (pa.ArrowException, OSError, UnicodeDecodeError, _FaultError) as fault:
        _explain(path, fault)


def _explain(path: Path, fault: Exception) -> NoReturn:
    read_predictions(path)  # slow and in need of memory, but it names every problem and its line
    raise ManifestError(f"{path}: cannot be read: {fault}") from fault


def _read_parquet(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        names = _wanted(file.schema_arrow.names)
        for batch in file.iter_batches(_ROWS, columns=names):
            yield pa.Table.from_batches([batch])


def _read_csv(path: Path) -> Iterator[pa.Table]:
    if path.suffix.lower() != ".csv":
        raise _FaultError("it is neither .csv nor .parquet")
    names = _wanted(next(records(path), (1, 1, []))[2])
    kinds = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=names,
        strings_can_be_null=False,
        null_values=[],
    )
    with pa_csv.open_csv(
        path,
        pa_csv.ReadOptions(block_size=_CHUNK),
        pa_csv.ParseOptions(newlines_in_values=True),
        kinds,
    ) as batches:
        for batch in batches:
            yield pa.Table.from_batches([batch])


def _wanted(found: Sequence[str]) -> list[str]:
    if len(set(found)) < len(found) or not set(COLUMNS) <= set(found):
        raise _FaultError("columns are missing or named twice")
    return [*COLUMNS, *(name for name in _OPTIONAL if name in found)]


def _checked(table: pa.Table) -> pa.Table:
    columns = {}
    for name in (*COLUMNS, *_OPTIONAL):
        is_score = name in _SCORES
        if name not in table.column_names:
            empty = None if is_score else ""
            kind = pa.float32() if is_score else pa.string()
            columns[name] = pa.repeat(pa.scalar(empty, kind), len(table))
        else:
            columns[name] = _scores(table[name]) if is_score else _text(table[name])
    checked = pa.table(columns)
    labelled, failed = (pc.not_equal(checked[name], "") for name in ("label", "error"))
    if pc.any(pc.equal(labelled, failed)).as_py():
        raise _FaultError("exactly one of label and error must be filled")
    return checked


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = column.cast(pa.string()).fill_null("")
    text.validate(full=True)  # Arrow believes a Parquet file that says its bytes are UTF-8
    return text


def _scores(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        scores = pc.if_else(pc.is_nan(column), None, column).cast(pa.float32())
    else:
        text = column.cast(pa.string())
        scores = pc.if_else(pc.equal(text, ""), None, text).cast(pa.float32())
    if len(scores) > scores.null_count:
        least, most = pc.min(scores).as_py(), pc.max(scores).as_py()
        if pc.any(pc.is_nan(scores)).as_py() or least < 0 or most > 1:
            raise _FaultError("a score is a number from 0 to 1")
    return scores
