"""What kind each INPUT is, and what its images are called."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from plankton_da.errors import DataError, ManifestError, UsageError
from plankton_da.images.archives import ARCHIVE_SUFFIXES, COMPRESSED_TARS
from plankton_da.images.ifcb import is_of_bin
from plankton_da.images.refs import IMAGE_SUFFIXES
from plankton_da.prediction.found import text_of
from plankton_da.prediction.predictions import COLUMNS

if TYPE_CHECKING:
    from plankton_da.manifests.table import Manifest

MANIFEST_SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Source:
    """One INPUT."""

    path: Path
    kind: Literal["folder", "archive", "image", "manifest", "bin"]
    prefix: str = ""
    """what its object_ids start with; '' when there is one INPUT"""
    manifest: Manifest | None = None

    @cached_property
    def carried(self) -> dict[str, str]:
        """Column of the result -> column of the manifest."""
        if self.manifest is None:
            return {}
        return carried_columns([str(name) for name in self.manifest.table.columns])


def open_sources(paths: Sequence[Path]) -> list[Source]:
    """Look at every INPUT and read the manifests.

    Raises
    ------
    DataError
        An INPUT that does not exist or is of no known kind (all are named).
    ManifestError
        A manifest with problems, or an object_id in two manifests.
    UsageError
        No INPUT, or the same one twice.
    """
    if not paths:
        raise UsageError("no INPUT given; name a folder, images, a manifest, a zip, a tar or a bin")
    absolute = [_absolute(path) for path in paths]
    twice = [str(path) for path, n in Counter(absolute).items() if n > 1]
    if twice:
        raise UsageError(f"the same INPUT is given twice: {', '.join(twice[:20])}")
    kinds = [_kind_of(path) for path in absolute]
    problems = [
        f"{path}: {_no_kind(path)}" for path, kind in zip(paths, kinds, strict=True) if kind is None
    ]
    if problems:
        more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise DataError("\n".join([*problems[:20], *more]))
    prefixes = _prefixes([p for p, kind in zip(absolute, kinds, strict=True) if kind != "manifest"])
    several = len(absolute) > 1
    sources = []
    for path, kind in zip(absolute, kinds, strict=True):
        if kind == "manifest":
            from plankton_da.manifests.table import read_manifest

            sources.append(Source(path, kind, "", read_manifest(path)))
        elif kind is not None:
            sources.append(Source(path, kind, prefixes[path] if several else ""))
    _refuse_shared_ids([source for source in sources if source.manifest is not None])
    return sources


def _kind_of(path: Path) -> Literal["folder", "archive", "image", "manifest", "bin"] | None:
    suffix = path.suffix.lower()
    if path.is_dir():
        return "folder"
    if not path.is_file():
        return None
    if suffix in MANIFEST_SUFFIXES:
        return "manifest"
    if suffix in ARCHIVE_SUFFIXES:
        return "archive"
    if suffix == ".roi" and is_of_bin(path.name):
        return "bin"
    return "image" if suffix in IMAGE_SUFFIXES else None


def _no_kind(path: Path) -> str:
    if not path.exists():
        return "no such file or folder"
    if path.name.lower().endswith(COMPRESSED_TARS):
        return "a compressed tar cannot be read in place; decompress it (gunzip) to a .tar"
    if is_of_bin(path.name):
        return f"a part of an IFCB bin; name its {path.stem}.roi"
    if path.suffix.lower() == ".roi":
        return "its name is no IFCB bin's, such as D20160714T023910_IFCB101.roi"
    return "neither a folder, an image, a manifest (.csv, .parquet), a .zip, a .tar nor a .roi"


def _absolute(path: Path) -> Path:
    """Absolute, with the INPUT's own name kept when it is a symbolic link."""
    path = Path(path)
    if path.name in ("", ".."):
        return path.resolve()
    return path.parent.resolve() / path.name


def _prefixes(paths: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of the paths, all of as many parts, that tell them apart."""
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        parts = [[part.strip(os.sep) for part in path.parts[-depth:]] for path in paths]
        names = [text_of("/".join(ends)) for ends in parts]
        if len(set(names)) == len(names):
            return dict(zip(paths, names, strict=True))
    return {path: text_of(path.as_posix()) for path in paths}


def _refuse_shared_ids(sources: Sequence[Source]) -> None:
    if len(sources) < 2:
        return
    import pandas as pd

    ids = pd.concat([s.manifest.table["object_id"] for s in sources if s.manifest is not None])
    shared = list(ids[ids.duplicated()].unique())
    if shared:
        files = ", ".join(str(source.path) for source in sources)
        raise ManifestError(
            f"{files}: {len(shared)} object_ids stand in more than one of them, such as "
            f"{', '.join(map(repr, shared[:5]))}; classify them one by one, each into its own --out"
        )


def carried_columns(names: Sequence[str]) -> dict[str, str]:
    """Column of the result -> column of a manifest that it is carried from.

    ``label`` becomes ``true_label``. In a predictions file the earlier prediction is not carried:
    it is no truth, and the new one takes its columns. In other manifests a column that a prediction
    has too is carried as ``input_<name>``.
    """
    own = re.compile(r"(label|score)_\d+|p_.*")
    is_predictions = {"score", "raw_label", "raw_score", "error"} <= set(names)
    carried = {}
    for name in names:
        if name in ("object_id", "image", "instrument"):
            continue
        if is_predictions and (name in COLUMNS or own.fullmatch(name)):
            continue
        if name == "label":
            carried["true_label"] = name
        elif name in COLUMNS or own.fullmatch(name) or (name == "true_label" and "label" in names):
            carried.setdefault(name if is_predictions else f"input_{name}", name)
        else:
            carried[name] = name
    return carried
