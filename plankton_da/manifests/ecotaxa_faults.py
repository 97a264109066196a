"""Where faults of an EcoTaxa table are noted."""

from __future__ import annotations

from dataclasses import dataclass, field

from plankton_da.manifests.problems import Problem, Problems


@dataclass
class Faults:
    """Problems and warnings of one table."""

    file: str
    problems: Problems = field(default_factory=Problems)
    warnings: Problems = field(default_factory=Problems)

    def error(self, line: int | None, column: str | None, code: str, words: str) -> None:
        """Note what the importer refuses."""
        self.problems.add([Problem(self.file, line, column, code, words)])

    def warn(self, line: int | None, column: str | None, code: str, words: str) -> None:
        """Note what the importer takes, but not as meant."""
        self.warnings.add([Problem(self.file, line, column, code, words)])
