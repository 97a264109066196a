"""What every format hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plankton_da.manifests.problems import SHOWN_PER_CODE, printable


@dataclass(frozen=True)
class ExportResult:
    """What was written, and which rows could not be.

    ``skipped`` are (object_id, why); ``notes`` are lines for people about the whole.
    """

    files: Sequence[Path]
    rows: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The document of ``export --json``."""
        return {
            "files": [str(file) for file in self.files],
            "rows": self.rows,
            "skipped": [{"object_id": name, "why": why} for name, why in self.skipped],
            "notes": self.notes,
        }

    def words(self) -> str:
        """The same for people: a line per file (the first 20), and the number of rows."""
        shown = [printable(str(file)) for file in self.files[:SHOWN_PER_CODE]]
        if len(self.files) > len(shown):
            shown.append(f"... and {len(self.files) - len(shown)} more files")
        return "\n".join([*shown, f"{self.rows:,} rows written"])

    def skipped_lines(self) -> list[str]:
        """The rows that are missing, and why: of each reason the first 20."""
        by_reason: dict[str, list[str]] = {}
        for object_id, why in self.skipped:
            by_reason.setdefault(why, []).append(object_id)
        lines: list[str] = []
        for why, names in by_reason.items():
            lines += [
                f"not exported: {printable(name)}: {printable(why)}"
                for name in names[:SHOWN_PER_CODE]
            ]
            if len(names) > SHOWN_PER_CODE:
                lines.append(f"... and {len(names) - SHOWN_PER_CODE} more: {printable(why)}")
        return lines
