"""Counts of a manifest as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from plankton_da.manifests.checks import CheckReports, count_rows
from plankton_da.manifests.columns import SPLITS
from plankton_da.manifests.ingest.result import IngestResult
from plankton_da.manifests.problems import SHOWN_PER_CODE, counted, printable
from plankton_da.manifests.taxonomy_use import use_lines

_NO_TABLE = {"unreadable", "unknown_format", "not_utf8", "wrong_separator", "doubled_column"}
_NO_MANIFEST = {"missing_column", "unclosed_quote"}
"""codes of files of which counts say nothing"""


def counts_table(counts: pd.DataFrame) -> str:
    """A line per instrument and label, a column per split; ``counts`` as ``count_rows`` gives."""
    if counts.empty:
        return "no rows"
    found = [name for name in (*SPLITS, "") if (counts["split"] == name).any()]
    found += sorted(set(counts["split"].unique()) - set(found))
    lines = [["instrument", "label", *(name or "no split" for name in found), "all"]]
    for instrument, of_instrument in counts.groupby("instrument", sort=True):
        camera = printable(str(instrument)) or "(no name)"
        for label, rows in of_instrument.groupby("label", sort=True):
            name = printable(str(label)) or "(no label)"
            lines.append([camera, name, *_numbers(rows, found)])
        lines.append([camera, "all", *_numbers(of_instrument, found)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _numbers(rows: pd.DataFrame, splits: list[str]) -> list[str]:
    counts = [int(rows.loc[rows["split"] == name, "n"].sum()) for name in splits]
    return [str(count) for count in (*counts, sum(counts))]


def _aligned(line: list[str], widths: list[int]) -> str:
    names = [text.ljust(width) for text, width in zip(line[:2], widths[:2], strict=True)]
    numbers = [text.rjust(width) for text, width in zip(line[2:], widths[2:], strict=True)]
    return "  ".join([*names, *numbers])


def check_summary(reports: CheckReports) -> str:
    """What a check found, but for the problems themselves."""
    parts = []
    for report in reports.reports:
        count = sum(report.totals.values())
        verdict = "no problems" if report.ok else f"{count} problem(s)"
        name = printable(str(report.path))
        if report.totals.keys() & _NO_TABLE:
            parts.append(f"{name}: is no table that can be read, {verdict}")
        elif report.totals.keys() & _NO_MANIFEST or not report.rows:
            parts.append(f"{name}: {report.rows} rows, {verdict}")
        else:
            counts = counts_table(report.counts)
            parts.append(f"{name}: {report.rows} rows, {verdict}\n{counts}")
        parts.extend(map(printable, report.remarks))
    parts.extend(map(printable, reports.remarks))
    if reports.taxonomy is not None:
        parts.append("\n".join(use_lines(reports.taxonomy)))
    return "\n\n".join(parts)


def build_summary(table: pd.DataFrame, out: Path) -> str:
    """What was written."""
    counts = counts_table(count_rows(table))
    return f"{counts}\n\n{printable(str(out))}: {counted(len(table), 'row')} written"


def left_out_lines(result: IngestResult) -> list[str]:
    """What a build says beside its table: remarks, what it passed over, what it could not read."""
    lines = [printable(remark) for remark in result.remarks]
    lines += _by_reason("skipped", result.skipped)
    if result.skipped or result.hidden:
        count = len(result.skipped)
        lines.append(f"skipped in all: {count}, and {result.hidden} hidden files or folders")
    lines += _by_reason("not read:", result.failed)
    return lines


def _by_reason(word: str, places: Sequence[tuple[str, str]]) -> list[str]:
    """Of each reason the first 20 places, and of reasons the first 20."""
    by_reason: dict[str, list[str]] = {}
    for place, why in places:
        by_reason.setdefault(why, []).append(place)
    lines: list[str] = []
    for why, found in list(by_reason.items())[:SHOWN_PER_CODE]:
        reason = printable(why)
        lines.extend(f"{word} {printable(place)}: {reason}" for place in found[:SHOWN_PER_CODE])
        if len(found) > SHOWN_PER_CODE:
            lines.append(f"... and {len(found) - SHOWN_PER_CODE} more: {reason}")
    rest = list(by_reason.values())[SHOWN_PER_CODE:]
    if rest:
        lines.append(f"... and {sum(map(len, rest))} more places, for {len(rest)} other reasons")
    return lines
