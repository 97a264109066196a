"""Which finished row belongs to which input, in the order of the result."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from plankton_da.images.refs import file_of
from plankton_da.prediction.inputs import Inputs, Item
from plankton_da.prediction.ledger import Ledger, keys_of

_LOOKED_UP_AT_ONCE = 512
ROWS_AT_ONCE = 16384
"""of a result; they become a row group of a Parquet file"""
_PENDING = -1


class Order:
    """The location of every input's row; eight bytes an image, whatever the images are.

    ``unfinished`` must be exhausted and each of its items settled before ``tables`` is called.
    """

    def __init__(self, inputs: Inputs, ledger: Ledger, *, retry_failed: bool = False) -> None:
        """``retry_failed``: rows with an error do not count as finished."""
        self.finished_before = 0
        """items that had a row already, among those looked at so far"""
        self.tried_again = 0
        """items whose row has an error that may be gone, among those looked at so far"""
        self._retry_failed = retry_failed
        self._inputs = inputs
        self._ledger = ledger
        self._carried = inputs.carried
        self._locations = array("q")
        self._sources = array("i")
        self._rows = array("q")
        self._waiting: deque[tuple[int, bytes]] = deque()  # position and key of items handed out
        about = (self._carried, inputs.manifests, str(inputs.shard))
        self._digest = hashlib.sha256(repr(about).encode())

    def __len__(self) -> int:
        return len(self._locations)

    def unfinished(self) -> Iterator[Item]:
        """The items that have no row yet, in order."""
        items = iter(self._inputs)
        while chunk := list(islice(items, _LOOKED_UP_AT_ONCE)):
            keys = [item.key() for item in chunk]
            self._digest.update(b"".join(keys))
            locations = self._ledger.find(keys_of(keys))
            again = self._to_try_again(chunk, self._ledger.errors(keys_of(keys)))
            locations[again] = _PENDING
            self.tried_again += len(again)
            first = len(self._locations)
            self._locations.extend(locations.tolist())
            self.finished_before += int((locations != _PENDING).sum())
            if self._carried:
                self._sources.extend(item.source for item in chunk)
                self._rows.extend(item.row for item in chunk)
            for place in np.flatnonzero(locations == _PENDING).tolist():
                self._waiting.append((first + place, keys[place]))
                yield chunk[place]

    def _to_try_again(self, items: list[Item], codes: NDArray[np.object_]) -> list[int]:
        """Places of items with a row whose error may be gone.

        That of a file that was out of reach for a while, and is not now, is gone without a change
        of the file.
        """
        failed = np.flatnonzero(codes != "").tolist()
        if self._retry_failed:
            return failed
        return [
            place
            for place in failed
            if codes[place] in ("missing", "permission_denied")
            and items[place].problem is None
            and "!" not in items[place].image
            and os.access(file_of(items[place].image, self._inputs.folder).path, os.R_OK)
        ]

    def waiting_keys(self, count: int) -> list[bytes]:
        """Keys of the ``count`` items that were handed out first and are not settled."""
        return [key for _, key in islice(self._waiting, count)]

    def settle(self, count: int, location: int) -> None:
        """The ``count`` items handed out first now have rows from ``location`` on."""
        for row in range(count):
            position, _ = self._waiting.popleft()
            self._locations[position] = location + row

    def digest(self) -> str:
        """sha256 that is the same as long as the result would be; when all is settled."""
        digest = self._digest.copy()
        digest.update(memoryview(self._locations).cast("B"))
        return digest.hexdigest()

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """All rows of the result with their carried columns, some thousands at a time.

        ``schema`` is that of the rows without them, for a result that has none.
        """
        if not len(self):
            carried = ((name, pa.string()) for name in self._carried)
            yield pa.schema([*schema, *carried]).empty_table()
        locations = np.array(self._locations, np.int64)
        sources, rows = np.array(self._sources, np.int32), np.array(self._rows, np.int64)
        for start in range(0, len(locations), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            table = self._ledger.rows(locations[part])
            for name in self._carried:
                values = self._inputs.carried_values(name, sources[part], rows[part])
                table = table.append_column(name, pa.array(values, pa.string()))
            yield table.combine_chunks()  # the bytes of a Parquet file must not tell the parts
