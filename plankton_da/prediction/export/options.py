"""What a user may ask of an export, beyond its format."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from plankton_da.errors import UsageError

FOR_ALL = frozenset({"overwrite", "progress"})


@dataclass(frozen=True)
class ExportOptions:
    """One field per option of ``plankton-da export``; a default means that it was not asked for.

    Each format names the fields that it reads in its ``OPTIONS``; those of ``FOR_ALL`` concern all.
    """

    overwrite: bool = False
    columns: tuple[str, ...] = ()
    """columns to write, in their order; none: all"""
    taxonomy: Path | None = None
    """label map: what each class is called where the predictions go"""
    update_only: bool = False
    """no images: only what objects that are there already are to be told"""
    max_mb: int | None = None
    """megabytes (10**6 bytes) after which another file is begun"""
    progress: bool = False
    """a bar on a terminal, a log line a minute elsewhere"""


def check_options(options: ExportOptions, format_name: str, read: frozenset[str]) -> None:
    """Refuse an option that the format would ignore.

    Raises
    ------
    UsageError
        Options that were asked for and are not in ``read``; all are named.
    """
    ignored = [
        option_name(field.name)
        for field in fields(options)
        if field.name not in read
        and field.name not in FOR_ALL
        and getattr(options, field.name) != field.default
    ]
    if ignored:
        taken = ", ".join(map(option_name, sorted(read)))
        raise UsageError(
            f"--format {format_name} takes no {', '.join(ignored)}; "
            f"its own options: {taken or 'none'}"
        )


def option_name(field: str) -> str:
    """What a field of ``ExportOptions`` is called on the command line."""
    return "--" + field.replace("_", "-")
