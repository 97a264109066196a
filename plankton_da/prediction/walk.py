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
    in_order: bool = True,
) -> Iterator[Found]:
    """Every image under ``folder``, names sorted by their bytes; hidden names are passed over.

    Symbolic links are followed, except to a folder that contains them. Archives and IFCB bins are
    read in place; with ``no_samples``, as in folders called ``beads``, bins are passed over. A
    folder that cannot be listed is one ``Found`` with a problem. ``ignored`` counts, by suffix, the
    files that are no images. ``in_order=False`` gives them as they come, without any list.
    """
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        entries = _sorted(folder) if in_order else _as_they_come(folder)
    except OSError as error:
        yield Found(prefix or ".", ref, "", problem=image_error_of(error))
        return
    inside = above | {identity}
    start = f"{prefix}/" if prefix else ""
    ref_start = "" if ref == "." else f"{ref}/"
    for name, is_folder in entries:
        path = os.path.join(folder, name)
        child = start + text_of(name)
        child_ref = ref_start + encode_name(name)
        suffix = os.path.splitext(name)[1].lower()
        if is_folder:
            lost = no_samples or name.lower() in NO_SAMPLES
            yield from walk_folder(
                path, child_ref, child, ignored, inside, no_samples=lost, in_order=in_order
            )
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


def _sorted(folder: str) -> Iterator[tuple[str, bool]]:
    """The names in a folder, by their bytes, and whether they are folders.

    The sorted names are joined by ``/``: as objects, 200,000 would take 13 MB for the whole run.
    """
    folders = set()
    names = []
    for name, is_folder in _as_they_come(folder):
        names.append(os.fsencode(name))
        if is_folder:
            folders.add(names[-1])
    names.sort()
    joined = b"/".join(names)
    del names
    return _split(joined, folders)


def _split(joined: bytes, folders: set[bytes]) -> Iterator[tuple[str, bool]]:
    start = 0
    while start < len(joined):
        end = joined.find(b"/", start)
        end = len(joined) if end < 0 else end
        raw = joined[start:end]
        yield os.fsdecode(raw), raw in folders
        start = end + 1


def _as_they_come(folder: str) -> Iterator[tuple[str, bool]]:
    entries = os.scandir(folder)  # here, so that a folder that cannot be listed is noticed here

    def names() -> Iterator[tuple[str, bool]]:
        with entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry.name, _is_folder(entry)

    return names()


def _suffix_to_say(name: str, suffix: str) -> str:
    return next((end for end in COMPRESSED_TARS if name.lower().endswith(end)), suffix)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: its row will say so
