"""The results of all shards joined to what one run would have written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from plankton_da.errors import BundleError, DataError, OutputError, UsageError, listed
from plankton_da.images.refs import rebase
from plankton_da.prediction.files import explained, replace_file, sha256_of
from plankton_da.prediction.finish import keep_others_run_file, run_file_of
from plankton_da.prediction.order import ROWS_AT_ONCE
from plankton_da.prediction.result import Tally, check_suffix, write_result
from plankton_da.prediction.result_reading import ResultReader

_OF_ALL = ("bundle", "bundle_folder", "training_run", "inputs", "manifests", "prior")
"""entries of ``run.json`` that a joined result has like its shards"""


@dataclass(frozen=True)
class MergeSummary:
    """What ``merge`` wrote; ``to_json`` is the document of ``merge --json``."""

    out: Path
    shards: int
    images: int
    labels: dict[str, int]
    errors: dict[str, int]

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return sum(self.errors.values())

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "out": str(self.out),
            "shards": self.shards,
            "images": self.images,
            "failed": self.failed,
            "labels": self.labels,
            "errors": self.errors,
        }

    def words(self) -> str:
        """The same in one line."""
        labels = ", ".join(f"{label} {count:,}" for label, count in self.labels.items())
        errors = ", ".join(f"{code} {count:,}" for code, count in self.errors.items())
        return (
            f"{self.out}: {self.images:,} images of {self.shards} shards: "
            f"{labels or 'none classified'}; "
            f"failed {self.failed:,}{f' ({errors})' if errors else ''}"
        )


@dataclass(frozen=True)
class _Part:
    path: Path
    told: Mapping[str, Any]

    @property
    def shard(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.told["shard"]
        return found


def merge(shards: Sequence[Path], out: Path, *, overwrite: bool = False) -> MergeSummary:
    """Join the results of ``classify --shard 1/n`` to ``n/n``, in any order, into ``out``.

    ``out`` (.csv or .parquet, whatever the shards are) is, byte for byte, what one run would have
    written, and a ``run.json`` stands beside it as beside every result.

    Raises
    ------
    UsageError
        No shard, or an impossible ``out``.
    DataError
        A file that is no finished shard, shards of different work, or not all of them (all
        problems are named).
    BundleError
        Shards of different models or options.
    OutputError
        ``out`` exists and ``overwrite`` is False, its ``run.json`` would take the place of
        another's, or it cannot be written.
    """
    check_suffix(out)
    if not shards:
        raise UsageError("no SHARD given; name the results of classify --shard 1/n to n/n")
    out = out.parent.resolve() / out.name
    parts = _checked([_read_part(path) for path in _all_of(shards)])
    if out in [part.path for part in parts]:
        raise UsageError(f"--out {out} is one of the shards; give another name")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} is there already; give another --out, or --overwrite")
    keep_others_run_file(out, overwrite=overwrite)

    def before(sha256: str, tally: Tally) -> None:
        content = {
            **{name: parts[0].told[name] for name in _OF_ALL},
            "result": out.name,
            "inputs": _rebased_inputs(parts[0], out.parent),
            "options": _options(parts[0]),
            "score_columns": parts[0].told["score_columns"],
            "shard": None,
            "shards": [part.told["sha256"] for part in parts],
            "sha256": sha256,
            "images": tally.images,
            "labels": dict(tally.labels.most_common()),
            "errors": dict(tally.errors.most_common()),
            "runs": [run for part in parts for run in part.told["runs"]],
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        replace_file(run_file_of(out), text.encode("utf-8", "backslashreplace"))

    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    tally = write_result(out, _in_order(parts, out.parent), before)
    return MergeSummary(
        out,
        len(parts),
        tally.images,
        dict(tally.labels.most_common()),
        dict(tally.errors.most_common()),
    )


def _all_of(shards: Sequence[Path]) -> list[Path]:
    absolute = [path.parent.resolve() / path.name for path in shards]
    twice = sorted({str(path) for path in absolute if absolute.count(path) > 1})
    if twice:
        raise UsageError(f"the same SHARD is given twice: {', '.join(twice[:20])}")
    return absolute


def _read_part(path: Path) -> _Part | str:
    """A finished shard, or what is wrong with it."""
    again = "run its classify --shard command (again)"
    try:
        told = json.loads(run_file_of(path).read_bytes())
        if not path.is_file():
            return f"{path}: no such file; {again}"
        if sha256_of(path) != told["sha256"]:
            return f"{path}: not finished, or changed since it was written; {again}"
        if told.get("shard") is None:
            return f"{path}: not made with --shard"
        if not {*_OF_ALL, "options", "score_columns", "runs"} <= set(told):
            return f"{run_file_of(path)}: of another version; {again}"
    except FileNotFoundError:
        return f"{path}: no {run_file_of(path).name} beside it, so not a finished shard; {again}"
    except (ValueError, KeyError, TypeError):
        return f"{run_file_of(path)}: damaged; {again}"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror or error}"
    return _Part(path, told)


def _checked(found: Sequence[_Part | str]) -> list[_Part]:
    """The shards in their order, if they are all shards of one work."""
    problems = [each for each in found if isinstance(each, str)]
    if problems:
        raise DataError(f"{len(problems)} of {len(found)} cannot be joined:\n{listed(problems)}")
    parts = sorted((each for each in found if isinstance(each, _Part)), key=_number)
    first = parts[0]
    for part in parts[1:]:
        other = [name for name, value in _options(part).items() if value != _options(first)[name]]
        if other:
            raise BundleError(
                f"{part.path} and {first.path} were made with another model or other options "
                f"({', '.join(other)}); rows of two models are never mixed: run one of them again"
            )
    wanted = range(1, first.shard["count"] + 1)
    numbers = [part.shard["number"] for part in parts]
    problems = [
        f"{part.path} is shard {part.shard['number']} of {part.shard['count']}"
        for part in parts
        if part.shard["count"] != first.shard["count"] or numbers.count(part.shard["number"]) > 1
    ]
    if problems:
        raise DataError(f"these are not shards of one work:\n{listed(problems)}")
    if missing := [f"{number}/{len(wanted)}" for number in wanted if number not in numbers]:
        raise DataError(f"{len(missing)} shards are not given: {', '.join(missing[:20])}")
    seen = {
        (
            part.shard["object_ids_sha256"],
            part.shard["images_of_all"],
            *sorted(part.told["manifests"].values()),
        )
        for part in parts
    }
    if len(seen) > 1:
        counts = [f"{part.path}: {part.shard['images_of_all']:,} in all" for part in parts]
        raise DataError(
            "images were added or removed, or a manifest was changed, between the shards, so that "
            f"some would be lost or doubled:\n{listed(counts)}\n"
            "run their classify --shard commands again; only images without a row are classified"
        )
    return parts


def _number(part: _Part) -> int:
    return int(part.shard["number"])


def _options(part: _Part) -> dict[str, Any]:
    own = ("shard", "engine")  # engines that make other rows differ in ``weights``
    return {name: value for name, value in part.told["options"].items() if name not in own}


def _rebased_inputs(part: _Part, folder: Path) -> list[str]:
    return [rebase(ref, part.path.parent, folder)[0] for ref in part.told["inputs"]]


def _in_order(parts: Sequence[_Part], folder: Path) -> Iterator[pa.Table]:
    """All rows, as one run has them, in tables of the size that one run writes."""
    readers = [ResultReader(part.path, part.told["score_columns"], folder) for part in parts]
    total, block = parts[0].shard["images_of_all"], parts[0].shard["block"]
    if total == 0:
        yield readers[0].take(0)
    for start in range(0, total, ROWS_AT_ONCE):
        places = np.arange(start, min(start + ROWS_AT_ONCE, total))
        owners = places // block % len(parts)
        tables = [reader.take(int((owners == n).sum())) for n, reader in enumerate(readers)]
        # row k of the joined tables belongs at the k-th place of its owner
        order = np.argsort(owners, kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        yield pa.concat_tables(tables).take(back)
