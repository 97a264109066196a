"""The INPUTs of a build: that they are there, and what sets their ids apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plankton_da.errors import DataError, UsageError
from plankton_da.images.refs import encode_name


@dataclass(frozen=True)
class Input:
    """One INPUT."""

    path: Path
    """resolved"""
    prefix: str
    """what its ids start with: '' where there is one INPUT"""

    @property
    def is_folder(self) -> bool:
        """True for a folder, False for a file."""
        return self.path.is_dir()


def open_inputs(inputs: Sequence[Path], what: str, suffixes: Sequence[str] = ()) -> list[Input]:
    """The INPUTs, checked: each a folder, or a file with one of the suffixes.

    Parameters
    ----------
    what
        what is expected, for people
    suffixes
        in lower case

    Raises
    ------
    DataError
        An INPUT is not there, or something else; all are listed.
    UsageError
        Two have the same name.
    """
    problems = []
    for path in inputs:
        if not path.exists():
            problems.append(
                f"{path}: no such file or folder" if suffixes else f"{path}: no such folder"
            )
        elif not path.is_dir() and path.suffix.lower() not in suffixes:
            kind = "neither a folder nor a file that is read here" if suffixes else "not a folder"
            problems.append(f"{path}: {kind}; name {what}")
    if problems:
        raise DataError("\n".join(problems))
    resolved = [path.resolve() for path in inputs]
    names = [path.name for path in resolved]
    problems = [
        f"{names.count(name)} inputs are called {name!r}, so that ids would not be unique; "
        "build one manifest for each, or name the folder above them"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise UsageError("\n".join(problems))
    several = len(resolved) > 1
    return [Input(path, f"{as_text(path.name)}/" if several else "") for path in resolved]


def as_text(name: str) -> str:
    """A name for people: as it is, unless bytes in it are no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return encode_name(name)
    return name.replace(os.sep, "/")
