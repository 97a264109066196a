"""EcoTaxa import zips: images and their tables, in parts below a size."""

from __future__ import annotations

import contextlib
import csv
import io
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from plankton_da.errors import DataError, OutputError
from plankton_da.manifests.ecotaxa_check import check_bundle
from plankton_da.manifests.ecotaxa_tables import UTF8_BOM
from plankton_da.manifests.problems import problem_lines
from plankton_da.prediction.files import explained, replacing

_ENTRY = 150  # bytes of a member's headers, without its name, which stands there twice
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the same rows give the same bytes


class Zips:
    """Writes ``X.zip``, ``X.part2.zip``, ...; they appear together when all are done and sound.

    Used in a ``with`` block.

    Raises
    ------
    OutputError
        A file is there already (unless ``overwrite``), or cannot be written.
    DataError
        At the end: EcoTaxa would refuse what was written; the message says why.
    """

    def __init__(self, out: Path, max_bytes: int, *, overwrite: bool, update_only: bool) -> None:
        self.paths: list[Path] = []
        self.left_over: list[Path] = []
        self._out = out
        self._max_bytes = max_bytes
        self._update_only = update_only
        self._stack = ExitStack()
        self._files: list[BinaryIO] = []
        self._archive: zipfile.ZipFile | None = None
        self._tables: dict[str, io.StringIO] = {}
        self._used = 0
        self._names: set[str] = set()
        there = [path for path in (out, *self._parts()) if path.exists()]
        if there and not overwrite:
            raise OutputError(
                f"{', '.join(map(str, there[:20]))}: exists already; add --overwrite or name "
                f"another --out"
            )

    def __enter__(self) -> Zips:
        with explained(self._out):
            self._out.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._close_part()
                self._check()
        except BaseException as late:  # whatever it is, also Ctrl-C: no half zip stays
            self._abandon(type(late), late, late.__traceback__)
            raise
        if error is not None:
            self._abandon(kind, error, trace)
            return
        self._stack.close()
        self.left_over = [path for path in self._parts() if path not in self.paths]

    def _abandon(
        self,
        kind: type[BaseException] | None,
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        if self._archive is not None:
            with contextlib.suppress(OSError):  # a full disk; the file is deleted next
                self._archive.close()
        self._stack.__exit__(kind, error, trace)

    def add(
        self,
        table: str,
        header: Sequence[Sequence[str]],
        row: Sequence[str],
        image: tuple[str, bytes] | None = None,
    ) -> None:
        """Add a row to the table of this name, and its image; ``header`` is names and types.

        The image's name counts from the table's folder, and must be new in this part.
        """
        line = _tsv([row])
        size = len(line.encode())
        if image is not None:
            size += len(image[1]) + 2 * len(image[0].encode()) + _ENTRY
        if self._archive is None or (self._used > 0 and self._used + size > self._max_bytes):
            self._close_part()
            self._open_part()
        if table not in self._tables:
            self._tables[table] = io.StringIO()
            self._tables[table].write(_tsv(header))
            size += self._tables[table].tell()
        self._tables[table].write(line)
        self._used += size
        if image is not None:
            self._names.add(image[0].lower())
            self._store(image[0], image[1], zipfile.ZIP_STORED)

    def has(self, name: str) -> bool:
        """Whether this part has an image of this name, in any case of letters."""
        return name.lower() in self._names

    def _store(self, name: str, data: bytes, how: int) -> None:
        if self._archive is not None:
            info = zipfile.ZipInfo(name, _MOMENT)
            info.external_attr = 0o644 << 16
            with explained(self.paths[-1]):
                self._archive.writestr(info, data, how)

    def _open_part(self) -> None:
        number = len(self.paths) + 1
        path = self._out if number == 1 else self._out.with_suffix(f".part{number}.zip")
        self.paths.append(path)
        file = self._stack.enter_context(replacing(path))
        self._files.append(file)
        self._archive = zipfile.ZipFile(file, "w")
        self._used = 0
        self._names = set()
        self._tables = {}

    def _close_part(self) -> None:
        if self._archive is None:
            return
        part = f"_{len(self.paths)}" if len(self.paths) > 1 else ""
        for name, text in self._tables.items():
            data = UTF8_BOM + text.getvalue().encode()
            self._store(f"ecotaxa_{name}{part}.tsv", data, zipfile.ZIP_DEFLATED)
        with explained(self.paths[-1]):
            self._archive.close()
            self._files[-1].flush()
        self._archive = None

    def _check(self) -> None:
        for path, file in zip(self.paths, self._files, strict=True):
            written = Path(file.name)
            # the images were decoded when they were put in
            report = check_bundle(written, update_only=self._update_only, open_images=False)
            if not report.ok:
                lines = problem_lines(list(report.problems), report.problems.totals)
                raise DataError("\n".join(line.replace(str(written), str(path)) for line in lines))

    def _parts(self) -> list[Path]:
        """Further parts that are there already."""
        return sorted(self._out.parent.glob(f"{_literal(self._out.stem)}.part*.zip"))


def _literal(text: str) -> str:
    """A name in which a glob finds no wildcard."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _tsv(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter="\t", lineterminator="\n").writerows(rows)
    return buffer.getvalue()
