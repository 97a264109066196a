"""The table of images that passes between rooms."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from plankton_da.errors import ManifestError, OutputError
from plankton_da.images.refs import ref_of
from plankton_da.manifests.columns import OPTIONAL, REQUIRED, TEXT, arrow_of, column_of
from plankton_da.manifests.fingerprint import fingerprint_of, letters
from plankton_da.manifests.problems import Problems
from plankton_da.manifests.reading import SUFFIXES, as_text, read_table
from plankton_da.manifests.rules import value_problems

__all__ = [
    "OPTIONAL",
    "REQUIRED",
    "Manifest",
    "column_of",
    "fingerprint_of",
    "read_manifest",
    "rebase_refs",
    "refuse_existing",
    "write_manifest",
]

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Manifest:
    """A validated table of images.

    ``table`` holds one row per image, every column as strings ('' for empty), in the order of the
    file; its index counts the file's rows from 0. Refs in ``image`` are relative to ``root``.
    """

    table: pd.DataFrame
    root: Path
    path: Path | None
    _find_fingerprint: Callable[[], str] = field(repr=False)

    @classmethod
    def of(cls, table: pd.DataFrame, root: Path, path: Path | None = None) -> Manifest:
        """A manifest of a table that is at hand; it is trusted, not checked."""
        return cls(table, root, path, partial(fingerprint_of, table))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the content, computed when it is first asked for.

        Raises
        ------
        ManifestError
            The manifest was read in part, and its file has changed since.
        """
        return self._find_fingerprint()

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the cameras, sorted."""
        return tuple(sorted(self.table["instrument"].unique()))

    def rows(self, split: str | Sequence[str] | None = None) -> pd.DataFrame:
        """The rows of one split or several ('' = rows without split); None: all. Index kept."""
        if split is None:
            return self.table
        wanted = [split] if isinstance(split, str) else list(split)
        return self.table[self.column("split").isin(wanted)]

    def column(self, name: str) -> pd.Series[str]:
        """A column of ``table``, or '' in every row where the table lacks it."""
        return column_of(self.table, name)


def read_manifest(path: Path | str, columns: Collection[str] | None = None) -> Manifest:
    """Read a CSV (UTF-8; BOM and CRLF are fine) or Parquet manifest.

    Values are strings as they stand: a class may be called NA, an id 007. Whether the images are
    there is not looked at: ``check_manifest`` does.

    Parameters
    ----------
    columns
        those to keep of the columns that are not required; None: all. What else there is, is not
        read, and of what it should be only ``object_id``, ``image``, ``instrument`` and these are
        checked.

    Raises
    ------
    ManifestError
        The file cannot be parsed, lacks a column, has no rows, or rows hold what they must not;
        the message lists every problem with its line.
    """
    path = Path(path)
    before = _stamp(path)
    raw = read_table(path, None if columns is None else {*REQUIRED, *columns})
    raw.problems.extend(value_problems(path, raw))
    raw.problems.raise_if_any()
    root = path.absolute().parent
    if len(raw.table.columns) == len(raw.names):
        return Manifest.of(raw.table, root, path)
    return Manifest(raw.table, root, path, partial(_fingerprint_of_file, path.absolute(), before))


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written again; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _fingerprint_of_file(path: Path, stamp: tuple[int, int] | None) -> str:
    raw = read_table(path, (), fingerprint=True)
    if raw.problems or _stamp(path) != stamp:
        raise ManifestError(f"{path}: has changed since it was read; start again")
    return raw.fingerprint


def write_manifest(table: pd.DataFrame, path: Path | str, overwrite: bool = False) -> None:
    """Write a table as CSV or Parquet (by the suffix), whole or not at all.

    Raises
    ------
    OutputError
        The file exists and ``overwrite`` is False, its suffix is neither .csv nor .parquet, or it
        cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: a manifest is written as {' or '.join(SUFFIXES)}")
    refuse_existing(path, overwrite)
    problems = Problems()
    text = as_text(pa.Table.from_pandas(table, preserve_index=False), path, problems)
    problems.raise_if_any()
    arrow = pa.Table.from_pandas(text, preserve_index=False).replace_schema_metadata(None)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            if path.suffix.lower() == ".csv":
                _write_csv(arrow, stream)
            else:
                pa.parquet.write_table(arrow, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise OutputError if the file is there and may not be replaced."""
    if os.path.exists(path) and not overwrite:
        raise OutputError(f"{path}: exists already; add --overwrite or name another --out")


def rebase_refs(images: pd.Series[str], old_root: Path, new_root: Path) -> pd.Series[str]:
    """Refs relative to one folder as refs relative to another; absolute ones stay."""
    way = ref_of(old_root, new_root)
    if way == ".":
        return images
    refs = arrow_of(images)
    absolute = pc.match_substring_regex(refs, r"^(/|\\|[A-Za-z]:[/\\]|[a-z0-9]+://)")
    moved = pc.if_else(absolute, refs, _joined(way.rstrip("/"), refs, "/"))
    return pd.Series(moved, index=images.index, name=images.name, dtype=TEXT)


def _write_csv(table: pa.Table, stream: BinaryIO) -> None:
    header = pa.table({str(i): [name] for i, name in enumerate(table.column_names)})
    for batch in (*header.to_batches(), *table.to_batches(max_chunksize=_ROWS_AT_ONCE)):
        values = [_quoted(column.cast(pa.large_string())) for column in batch.columns]
        rows = _joined(*values, ",")
        stream.write(letters(_joined(rows, "", "\n")))


def _quoted(values: pa.Array) -> pa.Array:
    """Values as CSV wants them: quoted only where they hold a comma, quote or line break."""
    special = pc.match_substring_regex(values, '[,"\r\n]')
    if not pc.any(special).as_py():
        return values
    doubled = pc.replace_substring(values, pattern='"', replacement='""')
    quoted = _joined('"', doubled, '"', "")
    return pc.if_else(special, quoted, values)


def _joined(*parts: pa.Array | str) -> pa.Array:
    """Row by row all parts but the last, with the last between them."""
    wide = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*wide)
