"""Copies of images in one folder per predicted label, for somebody who sorts them by hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from plankton_da.errors import OutputError
from plankton_da.manifests.copies import write_copies
from plankton_da.prediction.sort_into import copy_name, fetch, safe_name

if TYPE_CHECKING:
    import pandas as pd


def copy_for_sorting(table: pd.DataFrame, root: Path, folder: Path) -> None:
    """Copy each image of ``table`` to ``folder/<predicted_label>/``; all of them or none.

    No two copies have the same name, so that a name stands for one image wherever the file is
    moved; ``.copies.csv`` in ``folder`` says for which.

    Parameters
    ----------
    table
        With the columns object_id, image and predicted_label.
    root
        The folder that the refs in ``table`` are relative to.

    Raises
    ------
    OutputError
        The folder exists and is not empty, or cannot be written; or an image is gone.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"--copy-to {folder} exists and is not empty; name a new folder")
    folder = folder.absolute()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    names: list[str] = []
    used: set[str] = set()
    try:
        temporary.mkdir(parents=True)
        columns = (table[name] for name in ("object_id", "image", "predicted_label"))
        for object_id, image, label in zip(*columns, strict=True):
            name = _unused(copy_name(object_id, image), used)
            place = temporary / safe_name(label)
            place.mkdir(exist_ok=True)
            fetch(image, root, place / name)
            names.append(name)
        write_copies(table, names, temporary)
        os.replace(temporary, folder)
    except OSError as error:
        raise OutputError(
            f"--copy-to {folder}: cannot be written: {error.filename or folder}: "
            f"{error.strerror or error}; nothing was kept: mend that and give the command again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unused(name: str, used: set[str]) -> str:
    """``name``, or ``name~2``, ...; file systems may take capitals for small letters."""
    stem, suffix = os.path.splitext(name)
    candidate, count = name, 1
    while candidate.casefold() in used:
        count += 1
        candidate = f"{stem}~{count}{suffix}"
    used.add(candidate.casefold())
    return candidate
