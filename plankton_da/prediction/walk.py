"""The images inside folders, in a stable order and without opening them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from plankton_da.images.archives import ARCHIVE_SUFFIXES, COMPRESSED_TARS
from plankton_da.images.ifcb import NO_SAMPLES, is_of_bin
from plankton_da.images.refs import IMAGE_SUFFIXES, encode_name
from plankton_da.prediction.found import Found, image_error_of, text_of
from plankton_da.prediction.walk_archives import walk_archive
from plankton_da.prediction.walk_bins import stands_for_bin, walk_bin


def walk_folder(
    folder: str,
    ref: str,
    prefix: str,
    ignored: Counter[str],
    above: frozenset[tuple[int, int]] = frozenset(),
    *,
    no_samples: bool = False,
) -> Iterator[Found]:
    """Every image under ``folder``, names sorted by their bytes; hidden names are passed over.

    Symbolic links are followed, except to a folder that contains them. Archives and IFCB bins are
    read in place; with ``no_samples``, as in folders called ``beads``, bins are passed over. A
    folder that cannot be listed is one ``Found`` with a problem. ``ignored`` counts, by suffix, the
    files that are no images.
    """
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        names, folders = _list(folder)
    except OSError as error:
        yield Found(prefix or ".", ref, "", problem=image_error_of(error))
        return
    inside = above | {identity}
    start = f"{prefix}/" if prefix else ""
    ref_start = "" if ref == "." else f"{ref}/"
    for raw in _split(names):
        name = os.fsdecode(raw)
        path = os.path.join(folder, name)
        child = start + text_of(name)
        child_ref = ref_start + encode_name(name)
        suffix = os.path.splitext(name)[1].lower()
        if raw in folders:
            lost = no_samples or name.lower() in NO_SAMPLES
            yield from walk_folder(path, child_ref, child, ignored, inside, no_samples=lost)
        elif suffix in IMAGE_SUFFIXES:
            yield Found(child, child_ref, path)
        elif suffix in ARCHIVE_SUFFIXES:
            yield from walk_archive(path, child_ref, f"{child}!", ignored)
        elif is_of_bin(name) and not no_samples:
            if stands_for_bin(path):
                roi, stem = os.path.splitext(child_ref)[0], os.path.splitext(child)[0]
                roi += ".ROI" if suffix != os.path.splitext(name)[1] else ".roi"
                yield from walk_bin(path, roi, stem)
        else:
            ignored[_suffix_to_say(name, suffix)] += 1


def _list(folder: str) -> tuple[bytes, set[bytes]]:
    """The names in a folder, sorted and joined by ``/``, and those of the folders among them.

    Joined, because the names of 200,000 files as objects would take 13 MB for the whole run.
    """
    folders = set()
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            raw = os.fsencode(entry.name)
            names.append(raw)
            if _is_folder(entry):
                folders.add(raw)
    names.sort()
    return b"/".join(names), folders


def _split(names: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(names):
        end = names.find(b"/", start)
        end = len(names) if end < 0 else end
        yield names[start:end]
        start = end + 1


def _suffix_to_say(name: str, suffix: str) -> str:
    return next((end for end in COMPRESSED_TARS if name.lower().endswith(end)), suffix)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: its row will say so
