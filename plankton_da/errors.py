"""Every error a user can meet, with its exit code.

A message says where (file, line), what was expected, what was found, and the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar


class PlanktonDAError(Exception):
    """Base of all errors that are the user's to mend; anything else is a bug (exit code 1)."""

    exit_code: ClassVar[int] = 1


class UsageError(PlanktonDAError):
    """The command line asks for something impossible."""

    exit_code = 2


class ConfigError(PlanktonDAError):
    """A config file or ``--set`` value that cannot be used."""

    exit_code = 2


class OutputError(PlanktonDAError):
    """A place to write to that is occupied, not writable or full."""

    exit_code = 2


class DataError(PlanktonDAError):
    """Data that cannot be used for what was asked."""

    exit_code = 3


class ManifestError(DataError):
    """A manifest with problems; the message lists each one with file and line."""


class ImageError(DataError):
    """One image that cannot be read.

    ``code`` is short and stable, for scripts; ``str(error)`` is ``"code: words"``, the text of the
    ``error`` column of a prediction.
    """

    CODES: ClassVar[tuple[str, ...]] = (
        "not_an_image",
        "truncated",
        "empty_file",
        "too_large",
        "unsupported_mode",
        "missing",
        "permission_denied",
        "timeout",
        "archive_damaged",
        "unreadable",
    )

    def __init__(self, code: str, words: str) -> None:
        super().__init__(f"{code}: {words}")
        self.code = code
        self.words = words

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.code, self.words)  # crosses process boundaries whole


class ModelError(PlanktonDAError):
    """A backbone, its weights or a network that cannot be made or used."""

    exit_code = 4


class BundleError(ModelError):
    """A bundle that is missing, damaged, of another format version or inconsistent."""


class TrackingError(PlanktonDAError):
    """The MLflow tracking server cannot be reached or refuses."""

    exit_code = 4


class RegistryError(TrackingError):
    """A registered model, version or alias that does not exist or cannot be written."""


class SomeImagesFailed(PlanktonDAError):  # noqa: N818  # an outcome with rows, not a breakdown
    """The work is done and written, but some images failed; their rows say why."""

    exit_code = 5


def suggest(name: str, known: Sequence[str]) -> str:
    """``"; did you mean X?"`` for the nearest known name, whatever the case; or an empty string."""
    folded: dict[str, str] = {}
    for each in known:
        folded.setdefault(each.casefold(), each)
    found = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    near = [folded[each] for each in found]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def listed(lines: Iterable[object], limit: int = 20) -> str:
    """One line each, indented; past ``limit`` only how many more there are."""
    words = [f"  {line}" for line in lines]
    if len(words) > limit:
        words[limit:] = [f"  and {len(words) - limit} more"]
    return "\n".join(words)
