"""The images inside archives, in a stable order and without unpacking them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from plankton_da.errors import ImageError
from plankton_da.images.archives import ARCHIVE_SUFFIXES, opened_archive
from plankton_da.images.members import Archive
from plankton_da.images.refs import IMAGE_SUFFIXES, encode_name
from plankton_da.prediction.found import Found, image_error_of, text_of


def walk_archive(path: str, ref: str, prefix: str, ignored: Counter[str]) -> Iterator[Found]:
    """Every image in an archive, by name, and in the archives in it, one level deep.

    An archive that cannot be read, or that has lost some of its members, is one ``Found`` with a
    problem, followed by what can be read.
    """
    name = prefix.rstrip("!") or text_of(os.path.basename(path))
    size, stamp, problem = Found(name, ref, path).state()
    if problem is not None:
        yield Found(name, ref, "", size, stamp, problem)
        return
    try:
        archive = opened_archive(Path(path))
    except ImageError as error:
        yield Found(name, ref, "", size, stamp, error)
    except OSError as error:
        yield Found(name, ref, "", problem=image_error_of(error))
    else:
        if archive.damage:
            damage = ImageError("archive_damaged", archive.damage)
            yield Found(name, ref, "", size, stamp, damage)
        yield from _members(archive, Path(path), (), ref, prefix, ignored)


def _members(
    archive: Archive,
    path: Path,
    inner: tuple[str, ...],
    ref: str,
    prefix: str,
    ignored: Counter[str],
) -> Iterator[Found]:
    start = prefix if prefix.endswith("!") or not prefix else f"{prefix}/"
    members = list(archive.members())
    members.sort(key=lambda member: member.name.encode("utf-8", "surrogateescape"))
    for name, size, stamp in members:
        if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            continue
        child, child_ref = start + text_of(name), f"{ref}!{encode_name(name)}"
        suffix = os.path.splitext(name)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            yield Found(child, child_ref, "", size, stamp)
        elif suffix in ARCHIVE_SUFFIXES and not inner:
            try:
                opened = opened_archive(path, (name,))
            except (ImageError, OSError) as error:
                problem = error if isinstance(error, ImageError) else image_error_of(error)
                yield Found(child, child_ref, "", size, stamp, problem)
                continue
            if opened.damage:
                problem = ImageError("archive_damaged", opened.damage)
                yield Found(child, child_ref, "", size, stamp, problem)
            yield from _members(opened, path, (name,), child_ref, f"{child}!", ignored)
        else:
            ignored[suffix] += 1
