"""Which finished row belongs to which input, in the order of the result."""

from __future__ import annotations

import hashlib
from array import array
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa

from plankton_da.prediction.inputs import Inputs, Item
from plankton_da.prediction.ledger import Ledger, keys_of

_LOOKED_UP_AT_ONCE = 512
_ROWS_AT_ONCE = 16384
_PENDING = -1


class Order:
    """The location of every input's row; eight bytes an image, whatever the images are.

    ``unfinished`` must be exhausted and each of its items settled before ``tables`` is called.
    """

    def __init__(self, inputs: Inputs, ledger: Ledger) -> None:
        self.finished_before = 0
        """items that had a row already, among those looked at so far"""
        self._inputs = inputs
        self._ledger = ledger
        self._carried = inputs.carried
        self._locations = array("q")
        self._sources = array("i")
        self._rows = array("q")
        self._waiting: deque[tuple[int, bytes]] = deque()  # position and key of items handed out
        self._digest = hashlib.sha256(repr((self._carried, inputs.manifests)).encode())

    def __len__(self) -> int:
        return len(self._locations)

    def unfinished(self) -> Iterator[Item]:
        """The items that have no row yet, in order."""
        items = iter(self._inputs)
        while chunk := list(islice(items, _LOOKED_UP_AT_ONCE)):
            keys = [item.key() for item in chunk]
            self._digest.update(b"".join(keys))
            locations = self._ledger.find(keys_of(keys))
            first = len(self._locations)
            self._locations.extend(locations.tolist())
            self.finished_before += int((locations != _PENDING).sum())
            if self._carried:
                self._sources.extend(item.source for item in chunk)
                self._rows.extend(item.row for item in chunk)
            for place in np.flatnonzero(locations == _PENDING).tolist():
                self._waiting.append((first + place, keys[place]))
                yield chunk[place]

    def waiting_keys(self, count: int) -> list[bytes]:
        """Keys of the ``count`` items that were handed out first and are not settled."""
        return [key for _, key in islice(self._waiting, count)]

    def settle(self, count: int, location: int) -> None:
        """The ``count`` items handed out first now have rows from ``location`` on."""
        for row in range(count):
            position, _ = self._waiting.popleft()
            self._locations[position] = location + row

    def digest(self) -> str:
        """sha256 that is the same as long as the result would be."""
        return self._digest.hexdigest()

    def tables(self) -> Iterator[pa.Table]:
        """All rows of the result with their carried columns, some thousands at a time."""
        locations = np.array(self._locations, np.int64)
        sources, rows = np.array(self._sources, np.int32), np.array(self._rows, np.int64)
        for start in range(0, len(locations), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            table = self._ledger.rows(locations[part])
            for name in self._carried:
                values = self._inputs.carried_values(name, sources[part], rows[part])
                table = table.append_column(name, pa.array(values, pa.string()))
            yield table
