"""Would EcoTaxa's importer take this bundle? Every rule of its first, checking step.

Source: the import page of EcoTaxa (https://ecotaxa.obs-vlfr.fr) and what its importer does. What
only the server can know (whether a taxon, a person or an object is there) is not checked.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plankton_da.errors import ImageError, ManifestError
from plankton_da.images.decoding import decode
from plankton_da.images.zips import DAMAGE
from plankton_da.manifests.ecotaxa_bundle import TABLE_NAME, BundleTable, open_bundle
from plankton_da.manifests.ecotaxa_faults import Faults
from plankton_da.manifests.ecotaxa_header import FreeColumns, header_of
from plankton_da.manifests.ecotaxa_row import RowRules
from plankton_da.manifests.ecotaxa_tables import FALLBACK_ENCODING, UTF8_BOM
from plankton_da.manifests.ingest.ecotaxa_rows import Row, rows_of, text_of
from plankton_da.manifests.problems import Problem, Problems, printable, problem_lines

IMAGE_FORMATS = ("JPEG", "PNG", "GIF")
"""the formats that EcoTaxa shows"""
MAX_IMAGE_BYTES = 512 * 2**20
_NO_IMAGE = "missing_image"
_WAY_OUT = (
    "put them there, or, for an import that updates objects that EcoTaxa has already and so needs "
    "no images (export --update-only), check with --update-only"
)
_NOT_LOOKED_FOR = (
    "EcoTaxa looks for files whose names begin with ecotaxa, in lower case, and end in .tsv or .txt"
)


@dataclass
class BundleReport:
    """What was found in a bundle.

    ``problems`` are what the importer refuses; ``warnings`` what it takes, but not as meant.
    """

    path: Path
    tables: int = 0
    rows: int = 0
    images: int = 0
    """rows whose image is there"""
    problems: Problems = field(default_factory=Problems)
    warnings: Problems = field(default_factory=Problems)

    @property
    def ok(self) -> bool:
        """Whether the importer would take it."""
        return not self.problems

    def problem_lines(self) -> list[str]:
        """The problems for people; where not one image is there, that is one line."""
        kept, totals = list(self.problems), dict(self.problems.totals)
        lines = []
        if self.images == 0 and (count := totals.pop(_NO_IMAGE, 0)):
            named = [problem for problem in kept if problem.code == _NO_IMAGE]
            first, *others = problem_lines(named, {_NO_IMAGE: count})
            more = f", nor any other; {count:,} rows name one" if others else ""
            lines.append(f"{first}{more}; {_WAY_OUT}")
        return problem_lines([each for each in kept if each.code in totals], totals) + lines

    def words(self) -> str:
        """What it is and what was found, without the problems themselves."""
        found = sum(self.problems.totals.values())
        verdict = f"{found:,} problem(s)" if found else "EcoTaxa's importer should take it"
        counts = f"{self.tables} table(s), {self.rows:,} rows"
        warnings = problem_lines(list(self.warnings), self.warnings.totals)
        head = f"{printable(str(self.path))}: {counts}: {verdict}"
        return "\n".join([head, *(f"warning: {line}" for line in warnings)])

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON types; up to 1000 places of each code."""
        return {
            "path": str(self.path),
            "ok": self.ok,
            "tables": self.tables,
            "rows": self.rows,
            "problems": [_as_json(problem) for problem in self.problems],
            "warnings": [_as_json(problem) for problem in self.warnings],
        }


def check_bundles(paths: Sequence[Path], *, update_only: bool = False) -> list[BundleReport]:
    """``check_bundle`` of each."""
    return [check_bundle(path, update_only=update_only) for path in paths]


def raise_if_not_ok(reports: Sequence[BundleReport]) -> None:
    """Raise a ``ManifestError`` that lists every problem of every bundle."""
    lines = []
    for report in reports:
        lines += report.problem_lines()
    if lines:
        raise ManifestError("\n".join(lines))


def check_bundle(
    path: Path, *, update_only: bool = False, open_images: bool = True
) -> BundleReport:
    """Hold a bundle against the rules of EcoTaxa's importer.

    Parameters
    ----------
    path
        A folder, a zip, or one table; images are looked for beside the table that names them.
    update_only
        As in EcoTaxa's import with "update": images need not be there.
    open_images
        Also decode every image that is there.

    Returns
    -------
    A report that lists every problem with table and line.

    Raises
    ------
    DataError
        There is no such file or folder, or a zip cannot be read at all.
    """
    report = BundleReport(path)
    with open_bundle(path) as tables:
        rules = RowRules(update_only)
        free: FreeColumns = {}
        report.tables = len(tables)
        for table in tables:
            found = Faults(table.shown)
            if not TABLE_NAME.fullmatch(table.name.rpartition("/")[2]):
                found.warn(None, None, "table_name", _NOT_LOOKED_FOR)
            rows, images = _check_table(table, rules, free, found, open_images)
            report.rows += rows
            report.images += images
            report.problems.extend(found.problems)
            report.warnings.extend(found.warnings)
    if not tables:
        words = f"has no table: {_NOT_LOOKED_FOR}"
        report.problems.add([Problem(str(path), None, None, "no_table", words)])
    elif not report.rows and not report.problems:
        words = "has no rows, so that there is nothing to import"
        report.problems.add([Problem(str(path), None, None, "empty", words)])
    return report


def _check_table(
    table: BundleTable, rules: RowRules, free: FreeColumns, found: Faults, open_images: bool
) -> tuple[int, int]:
    """Rows of a table, and how many have their image; what is wrong with it goes to ``found``."""
    count = images = 0
    try:
        with table.place.open(table.name) as stream:
            marked = stream.read(len(UTF8_BOM)) == UTF8_BOM
            encoding = "utf-8-sig" if marked else FALLBACK_ENCODING
        with table.place.open(table.name) as stream, text_of(stream, encoding) as text:
            rows = rows_of(text)
            header = header_of(rows, found, free, update_only=rules.update_only)
            if header is None:
                return 0, 0
            if encoding == FALLBACK_ENCODING:
                rows = _beyond_ascii(rows, found)
            for row in rows:
                count += 1
                if row.problem:
                    found.error(row.line, None, "unreadable_row", row.problem)
                    continue
                image = rules.check(row, header, found)
                if image is not None:
                    images += _check_image(
                        table, image, row.line, rules.update_only, found, open_images
                    )
    except (OSError, ManifestError, *DAMAGE) as error:
        found.error(None, None, "unreadable", f"cannot be read: {error}")
    return count, images


def _beyond_ascii(rows: Iterator[Row], found: Faults) -> Iterator[Row]:
    """The rows; a warning where letters come out wrong since UTF-8 lacks its first bytes."""
    for row in rows:
        for cell in row.cells:
            if not cell.isascii() and _is_utf8(cell):
                words = (
                    f"{cell!r} is UTF-8 without a byte order mark, which EcoTaxa reads as latin-1; "
                    "save the table as UTF-8 with byte order mark"
                )
                found.warn(row.line, None, "no_byte_order_mark", words)
                break
        yield row


def _is_utf8(text: str) -> bool:
    try:
        text.encode(FALLBACK_ENCODING).decode("utf-8")
    except UnicodeError:
        return False
    return True


def _check_image(
    table: BundleTable, image: str, line: int, optional: bool, found: Faults, open_it: bool
) -> bool:
    """Whether the image is there, be it good or bad."""
    path = table.path_of(image)
    column = "img_file_name"
    if path is None:
        words = f"{image!r} leads out of the bundle; give the path from the table's folder"
        found.error(line, column, "image_outside", words)
        return False
    if not table.place.has(path):
        if not optional:
            words = f"there is no image {image!r}, counted from the table's folder"
            found.error(line, column, _NO_IMAGE, words)
        return False
    if open_it:
        try:
            with table.place.open(path) as file:
                data = file.read(MAX_IMAGE_BYTES)
            kind = decode(io.BytesIO(data), len(data)).format
        except ImageError as error:
            found.error(line, column, error.code, f"the image {image!r}: {error.words}")
        except (OSError, *DAMAGE) as error:
            found.error(line, column, "unreadable", f"the image {image!r} cannot be read: {error}")
        else:
            if kind not in IMAGE_FORMATS:
                words = f"the image {image!r} is {kind}; EcoTaxa takes {', '.join(IMAGE_FORMATS)}"
                found.error(line, column, "image_format", words)
    return True


def _as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "message": problem.message,
    }
