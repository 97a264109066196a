"""Scores as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def format_scores(document: Mapping[str, Any]) -> str:
    """A readable table of what ``evaluate`` returns: per instrument, per class with n."""
    instruments = document["instruments"]
    parts = [f"split: {document['split']}"]
    parts += [_section(name, scores) for name, scores in instruments.items()]
    if len(instruments) > 1:
        parts.append(_section("all instruments", document["overall"]))
    if views := document.get("views"):
        parts.append(f"mean of {views} turned views of each image")
    if prior := document.get("prior"):
        shares = ", ".join(f"{label} {share:.3f}" for label, share in prior["target"].items())
        parts.append(f"corrected by class shares ({prior['source']}): {shares}")
    if document["unlabelled"]:
        parts.append(f"{document['unlabelled']} rows without label were passed over")
    if dropped := document.get("dropped"):
        listed = ", ".join(f"{label} {count}" for label, count in list(dropped.items())[:20])
        more = f", and {len(dropped) - 20} more labels" if len(dropped) > 20 else ""
        parts.append(f"{sum(dropped.values())} rows left out by the taxonomy: {listed}{more}")
    return "\n\n".join(parts)


def _section(name: str, scores: Mapping[str, Any]) -> str:
    interval = scores["macro_recall_ci"]
    between = f"  (95%: {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    lines = [
        f"{name}: {scores['n']} images",
        f"  macro recall  {_number(scores['macro_recall'])}{between}",
        f"  macro F1      {_number(scores['macro_f1'])}",
        f"  accuracy      {_number(scores['accuracy'])}",
        f"  ECE           {_number(scores['ece'])}",
        f"  coverage      {_number(scores['coverage'])}",
        "",
    ]
    width = max([len("class"), *map(len, scores["per_class"])])
    lines.append(f"  {'class':<{width}}  {'n':>7}  {'recall':>6}  {'precision':>9}")
    for label, row in scores["per_class"].items():
        recall, precision = _number(row["recall"]), _number(row["precision"])
        lines.append(f"  {label:<{width}}  {row['n']:>7}  {recall:>6}  {precision:>9}")
    if scores["unknown_labels"]:
        counts = ", ".join(f"{label} {n}" for label, n in scores["unknown_labels"].items())
        lines.append(f"  not scored, labels that the bundle does not know: {counts}")
    if scores["failed"]:
        lines.append(f"  not scored, images that cannot be read: {scores['failed']}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def format_failures(failures: Sequence[Mapping[str, str]], limit: int = 20) -> str:
    """Names the images that failed, the first ``limit`` of them."""
    lines = [f"{len(failures)} images could not be read and are in no score:"]
    lines += [f"  {failure['image']}: {failure['error']}" for failure in failures[:limit]]
    if len(failures) > limit:
        lines.append(f"  and {len(failures) - limit} more (--json names them all)")
    return "\n".join(lines)
