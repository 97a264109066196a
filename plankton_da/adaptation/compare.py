"""Several finished runs side by side, and which to deploy, without target labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plankton_da.adaptation.candidates import Candidate, agreement, read_candidate
from plankton_da.adaptation.selection import GATE, collapsed


@dataclass(frozen=True)
class Comparison:
    """What ``compare --json`` prints."""

    runs: list[dict[str, Any]]
    """one per run, in the order given; what starts with ``oracle_`` saw target labels"""
    chosen: str
    """output_dir of the run to deploy"""
    why: str


def compare(folders: Sequence[Path]) -> Comparison:
    """List every label-free criterion of each run, and choose one.

    Audit labels decide where every run has been scored on them. Else runs whose mid val macro
    recall is over GATE below the best, or whose predictions on the target have collapsed, are out;
    of the rest the one that agrees most with the mean prediction of all is chosen (EnsV).

    Raises
    ------
    DataError
        A folder holds no finished run, or the runs do not belong together.
    """
    candidates = [read_candidate(folder) for folder in folders]
    agreed = agreement(candidates)
    rows = [
        _row(candidate, float(share)) for candidate, share in zip(candidates, agreed, strict=True)
    ]
    best, why = _choose(rows)
    return Comparison(rows, rows[best]["run"], why)


def _row(candidate: Candidate, agreed: float) -> dict[str, Any]:
    entry = candidate.entry
    return {
        "run": candidate.run,
        "method": candidate.method,
        "seed": candidate.seed,
        "step": candidate.step,
        "mid_macro_recall": entry["mid_macro_recall"],
        "audit_macro_recall": entry["audit_macro_recall"],
        "agreement": agreed,
        "infomax": entry["infomax"],
        "effective_classes": entry["effective_classes"],
        "collapsed": collapsed(entry),
        "oracle_macro_recall": entry["oracle_macro_recall"],
    }


def _choose(rows: list[dict[str, Any]]) -> tuple[int, str]:
    everything = range(len(rows))
    if all(row["audit_macro_recall"] is not None for row in rows):
        best = max(everything, key=lambda n: rows[n]["audit_macro_recall"])
        return best, "the greatest macro recall on the audit labels"
    known = [row["mid_macro_recall"] for row in rows if row["mid_macro_recall"] is not None]
    floor = max(known) - GATE if known else 0.0
    kept = [
        n
        for n in everything
        if not rows[n]["collapsed"] and (rows[n]["mid_macro_recall"] or floor) >= floor
    ]
    best = max(kept or everything, key=lambda n: rows[n]["agreement"])
    left_out = len(rows) - len(kept)
    out = f" ({left_out} left out)" if left_out else ""
    return best, (
        f"agrees most with the mean prediction of all, among those within {GATE} of the best mid "
        f"val macro recall and not collapsed{out}"
        if kept
        else "agrees most with the mean prediction of all; no run passes the gate on mid val"
    )


def comparison_text(comparison: Comparison) -> str:
    """A table for a terminal; oracle columns stand apart."""
    header = ("run", "method", "seed", "step", "mid", "audit", "agree", "InfoMax", "classes")
    lines = []
    for row in comparison.runs:
        lines.append(
            (
                ("* " if row["run"] == comparison.chosen else "  ") + row["run"],
                row["method"],
                str(row["seed"]),
                str(row["step"]),
                *(
                    _figure(row[key])
                    for key in ("mid_macro_recall", "audit_macro_recall", "agreement", "infomax")
                ),
                f"{row['effective_classes']:.1f}" + (" collapsed" if row["collapsed"] else ""),
                _figure(row["oracle_macro_recall"]),
            )
        )
    table = [("  " + header[0], *header[1:], "oracle"), *lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    shown = []
    for line in table:
        *cells, oracle = (
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        shown.append("  ".join(cells) + "  |  " + oracle)
    if any(row["oracle_macro_recall"] is not None for row in comparison.runs):
        shown.append("(oracle: macro recall by target labels, shown and not used)")
    return "\n".join([*shown, "", f"deploy {comparison.chosen}: {comparison.why}"])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
