"""Copies of the images in one folder per label, for people who look at folders."""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from plankton_da.errors import ImageError, OutputError
from plankton_da.images.archives import read_member
from plankton_da.images.refs import IMAGE_SUFFIXES, address_of, file_of, open_image
from plankton_da.images.remote import fetch as fetch_remote
from plankton_da.images.remote import is_remote
from plankton_da.prediction.files import explained

if TYPE_CHECKING:
    import pandas as pd

_UNSAFE = re.compile('[%/\\\\:*?"<>|\x00-\x1f\x7f]')
_LONGEST = 200  # bytes; file systems allow 255, and a temporary name needs some


def sort_into(predictions: pd.DataFrame, root: Path, folder: Path) -> int:
    """Copy each classified image to ``folder/<label>/``; returns the number of copies made.

    A copy is called as ``copy_name`` says, so no name leads out of ``folder``. A file that is there
    already is never touched: with the same content it counts as the copy, else the copy gets a
    name of its own. Rows with an error are not copied.

    Parameters
    ----------
    predictions
        With the columns object_id, image, label and error.
    root
        The folder that the refs in ``predictions`` are relative to.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full.
    """
    copies = 0
    good = predictions[predictions["error"] == ""]
    for object_id, image, label in zip(
        good["object_id"], good["image"], good["label"], strict=True
    ):
        place = folder / safe_name(label)
        with explained(place):
            place.mkdir(parents=True, exist_ok=True)
        copies += _copy(image, root, place, copy_name(object_id, image))
    return copies


def check_writable(folder: Path) -> None:
    """Make ``folder``, and make sure that files can be written there.

    Raises
    ------
    OutputError
        They cannot.
    """
    trial = folder / f".trial.{os.getpid()}.tmp"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()


def copy_name(object_id: str, ref: str) -> str:
    """The file name of an image's copy: its object_id, ``__`` for ``/``, with the image's suffix.

    Characters that not every file system takes become ``%XX``. A part of a file becomes a PNG.
    """
    name = safe_name(object_id.replace("/", "__"))
    own, suffix = os.path.splitext(name)[1].lower(), os.path.splitext(ref)[1]
    if "#" in suffix:
        return name if own == ".png" else f"{name}.png"
    return name if own in IMAGE_SUFFIXES or suffix.lower() not in IMAGE_SUFFIXES else name + suffix


def safe_name(name: str) -> str:
    """A file name that stays in its folder, works on every file system and tells names apart."""
    safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    if safe.strip(". ") == "":
        safe = safe.replace(".", "%2E").replace(" ", "%20") or "%"
    if len(safe.encode()) > _LONGEST:
        stem, suffix = os.path.splitext(safe)
        short = stem.encode()[: _LONGEST - 30].decode(errors="ignore")
        safe = f"{short}~{_mark(name)}{suffix[:10]}"
    return safe


def _copy(ref: str, root: Path, place: Path, name: str) -> bool:
    temporary = place / f".copying.{os.getpid()}.tmp"
    try:
        with explained(place / name):
            fetch(ref, root, temporary)
            stem, suffix = os.path.splitext(name)
            for target in (place / name, place / f"{stem}~{_mark(ref)}{suffix}"):
                if not target.exists():
                    os.replace(temporary, target)
                    return True
                if filecmp.cmp(temporary, target, shallow=False):
                    return False
    finally:
        temporary.unlink(missing_ok=True)
    raise OutputError(f"{place / name}: other files of this name are there; give another folder")


def fetch(ref: str, root: Path, target: Path) -> None:
    """Copy the image's bytes to the file ``target``; a part of a file becomes a PNG.

    Raises
    ------
    OutputError
        It can no longer be read where it is. OSError: it is gone, or ``target`` not writable.
    """
    path, members, part = file_of(ref, root)
    try:
        if part:
            open_image(ref, root).save(target, format="PNG")
        elif is_remote(ref):
            target.write_bytes(fetch_remote(address_of(ref)))
        elif members:
            target.write_bytes(read_member(path, members))
        else:
            shutil.copy2(path, target)
    except ImageError as error:
        raise OutputError(f"{ref}: could not be read again for the copy: {error}") from error


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
