"""What every format hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plankton_da.manifests.problems import SHOWN_PER_CODE, counted, printable


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
        return "\n".join([*shown, f"{counted(self.rows, 'row')} written"])

    def skipped_lines(self) -> list[str]:
        """The rows that are missing, and why: of each kind of reason the first 20."""
        by_kind: dict[str, list[str]] = {}
        for object_id, why in self.skipped:
            kind = why.partition(":")[0]
            by_kind.setdefault(kind, []).append(printable(f"{object_id}: {why}"))
        lines: list[str] = []
        for kind, rows in by_kind.items():
            lines += [f"not exported: {row}" for row in rows[:SHOWN_PER_CODE]]
            if len(rows) > SHOWN_PER_CODE:
                lines.append(f"... and {len(rows) - SHOWN_PER_CODE:,} more: {printable(kind)}")
        return lines
