"""A walk through folders that says what it left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from plankton_da.images.refs import IMAGE_SUFFIXES

_NOBODYS = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "@eadir"})
_BROKEN = "a broken link"
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"})


class Walk:
    """Finds files; ``skipped`` and ``failed`` are (path, why), ``hidden`` a count.

    ``failed`` are folders that cannot be read and links that lead nowhere: there should be more.

    ``refuse`` says of an entry of a folder why it is not taken, or None; without it image files are
    taken.
    """

    def __init__(self, refuse: Callable[[os.DirEntry[str]], str | None] | None = None) -> None:
        self._refuse = refuse or no_image
        self.skipped: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []
        self.hidden = 0
        self._entered: dict[tuple[int, int], str] = {}

    def files(self, top: Path) -> Iterator[tuple[str, list[str]]]:
        """Each folder, as its path relative to ``top`` ('' for itself), and its files.

        Files and folders come in the order of their names' bytes; links to folders after all real
        folders, so that what lies in a folder twice, really and by a link, is found in the real
        one.
        """
        linked: list[str] = []
        waiting = [""]
        while waiting or linked:
            below = waiting.pop() if waiting else linked.pop(0)
            path = os.path.join(top, below)
            if not self._enters(path):
                continue
            try:
                with os.scandir(path) as entries:
                    ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                self.failed.append((path, f"folder cannot be read: {error.strerror}"))
                continue
            names, folders = [], []
            for entry in ordered:
                inside = os.path.join(below, entry.name)
                if entry.name.startswith(".") or entry.name.lower() in _NOBODYS:
                    self.hidden += 1
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(inside)
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    linked.append(inside)
                elif why := self._refuse(entry):
                    left_out = self.failed if why == _BROKEN else self.skipped
                    left_out.append((entry.path, why))
                else:
                    names.append(entry.name)
            waiting.extend(reversed(folders))
            if names:
                yield below, names

    def _enters(self, path: str) -> bool:
        try:
            found = os.stat(path)
        except OSError as error:
            self.failed.append((path, f"folder cannot be read: {error.strerror}"))
            return False
        key = (found.st_dev, found.st_ino)
        if key in self._entered:
            self.skipped.append((path, f"a link to {self._entered[key]}, which is listed already"))
            return False
        self._entered[key] = path
        return True


def no_regular_file(entry: os.DirEntry[str]) -> str | None:
    """Why an entry is no file that can be read; None where it is one."""
    if entry.is_symlink():  # of a link to itself, entry.is_file() raises
        if not os.path.exists(entry.path):
            return _BROKEN
        if not os.path.isfile(entry.path):
            return "not a regular file"
    elif not entry.is_file():
        return "not a regular file"
    return None


def no_image(entry: os.DirEntry[str]) -> str | None:
    """Why an entry is no image file; None where it is one."""
    if why := no_regular_file(entry):
        return why
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return None
    if suffix in _ARCHIVES:
        return "an archive; name it as an INPUT of its own, or unpack it"
    return f"not an image by its suffix {suffix!r}" if suffix else "a name without suffix"
