"""Finished work on disk: parts that are known by what they hold, never by being there."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from plankton_da.errors import BundleError, ImageError, OutputError
from plankton_da.prediction.files import FileLock, explained, replace_file

log = logging.getLogger(__name__)

_OPTIONS = b"plankton_da.options"
_MADE = b"plankton_da.made"
_KEY_COLUMNS = ("_key_high", "_key_low")
_PARTS_KEPT = 8
_NOBODY = np.uint64(0xFFFFFFFFFFFFFFFF)
_CODES = np.array(["", *ImageError.CODES], dtype=object)
_NUMBERS = {code: number for number, code in enumerate(_CODES)}


class Ledger:
    """The finished rows of one result, in ``<out>.parts/``; used in a ``with`` block.

    A part is a Parquet file of a few thousand rows, written atomically, with checksums, that
    carries the options it was made with. A location is ``part number << 32 | row``.

    Raises
    ------
    OutputError
        Another process has the ledger, or its folder cannot be written or read.
    BundleError
        The finished rows were made by another model or with other options.
    """

    def __init__(self, out: Path, options: Mapping[str, Any], *, anew: bool = False) -> None:
        """``options`` must be equal for all rows; ``anew`` forgets what is there."""
        self.out = out
        self.folder = out.with_name(f"{out.name}.parts")
        self.made: list[dict[str, Any]] = []
        """distinct provenance of the parts, oldest first"""
        self._options = dict(options)
        self._anew = anew
        self._lock = FileLock(self.folder / "lock", out)
        self._next = 1
        self._high = np.full(1, _NOBODY)  # sorted, like the next three; the last is nobody's
        self._low = np.full(1, _NOBODY)
        self._locations = np.full(1, -1, np.int64)
        self._codes = np.zeros(1, np.uint8)
        self._cached = lru_cache(maxsize=_PARTS_KEPT)(self._read_part)

    def __enter__(self) -> Ledger:
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            if self._anew:
                self._forget()
            self._load()
        except BaseException:  # whatever it is, also Ctrl-C: __exit__ is not called then
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def __len__(self) -> int:
        """Rows that were finished when the ledger was opened."""
        return len(self._locations) - 1

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Locations (N,) of the rows with these keys (N, 2), -1 where there is none.

        Keys are hashes: two that share their first half are taken for new work, never for done.
        """
        place = self._places(keys)
        return np.where(place >= 0, self._locations[place], -1)

    def errors(self, keys: NDArray[np.uint64]) -> NDArray[np.object_]:
        """The error codes (N,) of the finished rows with these keys, '' where there is none."""
        place = self._places(keys)
        return np.where(place >= 0, _CODES[self._codes[place]], "")

    def _places(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        # of rows with the same key the last, which was written latest; -1: none
        place = np.searchsorted(self._high[:-1], keys[:, 0], side="right") - 1
        same = (self._high[place] == keys[:, 0]) & (self._low[place] == keys[:, 1])
        return np.where(same, place, -1)

    def append(self, keys: NDArray[np.uint64], rows: pa.Table, made: Mapping[str, Any]) -> int:
        """Write one part; returns the location of its first row. ``made`` is its provenance.

        Raises
        ------
        OutputError
            The disk is full or not writable. Finished parts are untouched.
        """
        number = self._next
        self._note(dict(made))
        for name, column in zip(_KEY_COLUMNS, keys.T, strict=True):
            rows = rows.append_column(name, pa.array(np.ascontiguousarray(column)))
        rows = rows.replace_schema_metadata(
            {_OPTIONS: _json(self._options), _MADE: _json(dict(made))}
        )
        buffer = io.BytesIO()
        pq.write_table(rows, buffer, compression="zstd", write_page_checksum=True)
        replace_file(self._path(number), buffer.getvalue())
        self._next += 1
        return number << 32

    def rows(self, locations: NDArray[np.int64]) -> pa.Table:
        """The rows at ``locations``, in that order."""
        numbers = locations >> 32
        tables, places = [], np.empty(len(locations), np.int64)
        start = 0
        for number in np.unique(numbers):
            chosen = np.flatnonzero(numbers == number)
            part = self._cached(int(number)).replace_schema_metadata(None)
            tables.append(part.take(locations[chosen] & 0xFFFFFFFF))
            places[chosen] = np.arange(start, start + len(chosen))
            start += len(chosen)
        return pa.concat_tables(tables).take(places).drop_columns(list(_KEY_COLUMNS))

    def read_note(self, name: str) -> Any:
        """What ``write_note`` wrote, or None."""
        try:
            return json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            log.warning("%s is damaged and is ignored", self.folder / name)
            return None

    def write_note(self, name: str, content: Any) -> None:
        """Keep something JSON-able beside the parts."""
        replace_file(self.folder / name, _json(content))

    def _forget(self) -> None:
        with explained(self.folder):
            for path in [*self.folder.glob("part-*.parquet"), *self.folder.glob("*.json")]:
                path.unlink()

    def _load(self) -> None:
        high, low, locations, codes = [], [], [], []
        for path in self.folder.glob(".*.tmp"):  # of a killed process: the lock is ours now
            path.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("part-*.parquet")):
            number = int(path.stem.removeprefix("part-"))
            self._next = max(self._next, number + 1)
            try:
                table = self._read_part(number)
            except (pa.ArrowException, OSError, KeyError, ValueError):
                log.warning("%s is damaged; its images are classified again", path)
                path.unlink()
                continue
            metadata = table.schema.metadata
            self._refuse_other(json.loads(metadata[_OPTIONS]))
            self._note(json.loads(metadata[_MADE]))
            high.append(table[_KEY_COLUMNS[0]].to_numpy())
            low.append(table[_KEY_COLUMNS[1]].to_numpy())
            locations.append((number << 32) + np.arange(len(table), dtype=np.int64))
            codes.append(_codes_of(table))
        if high:
            order = np.argsort(np.concatenate(high), kind="stable")
            # the sentinel at the end lets a search that finds nothing look somewhere
            self._high = np.append(np.concatenate(high)[order], _NOBODY)
            self._low = np.append(np.concatenate(low)[order], _NOBODY)
            self._locations = np.append(np.concatenate(locations)[order], -1)
            self._codes = np.append(np.concatenate(codes)[order], np.uint8(0))

    def _read_part(self, number: int) -> pa.Table:
        path = self._path(number)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise OutputError(f"{path}: cannot be read: {error.strerror or error}") from error
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        if not {_OPTIONS, _MADE} <= set(table.schema.metadata or {}):
            raise ValueError("not a part")
        return table

    def _refuse_other(self, found: Mapping[str, Any]) -> None:
        wanted = json.loads(_json(self._options))
        if found == wanted:
            return
        differences = [
            f"{name}: {_short(found.get(name))} there, {_short(wanted.get(name))} now"
            for name in sorted({*found, *wanted})
            if found.get(name) != wanted.get(name)
        ]
        raise BundleError(
            f"{self.out}: its {self.folder.name} were made with another model or other options "
            f"({'; '.join(differences)}); rows of two models are never mixed: "
            f"give another --out, or --overwrite to begin anew"
        )

    def _note(self, made: dict[str, Any]) -> None:
        if made not in self.made:
            self.made.append(made)

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"


def _codes_of(table: pa.Table) -> NDArray[np.uint8]:
    """Numbers in ``_CODES`` of the rows' errors."""
    codes = np.zeros(len(table), np.uint8)
    if "error" in table.column_names:
        for row in np.flatnonzero(pc.not_equal(table["error"], "").to_numpy()):
            code = table["error"][int(row)].as_py().partition(":")[0]
            codes[row] = _NUMBERS.get(code, _NUMBERS["unreadable"])
    return codes


def latest_made(out: Path) -> dict[str, Any] | None:
    """Provenance of the rows of ``out`` that were finished last, without taking the ledger."""
    for path in sorted(out.with_name(f"{out.name}.parts").glob("part-*.parquet"), reverse=True):
        try:
            made: dict[str, Any] = json.loads(pq.read_schema(path).metadata[_MADE])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            continue  # damaged: whoever takes the ledger will say so
        return made
    return None


def keys_of(keys: Sequence[bytes]) -> NDArray[np.uint64]:
    """16-byte keys as (N, 2)."""
    return np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2).astype(np.uint64)


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode()


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:12]
