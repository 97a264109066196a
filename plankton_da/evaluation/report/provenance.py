"""How predictions came to be, as their ``run.json`` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plankton_da.evaluation.report.markup import facts, section, text
from plankton_da.prediction.files import sha256_of

_SHORT = 12  # digits of a sha256


def made_by(run: Mapping[str, Any]) -> str:
    """``", classified by MODEL on DATE"``, as far as it is known."""
    runs = [entry for entry in _list(run, "runs") if isinstance(entry, Mapping)]
    model = _said(run.get("bundle"))
    date = _said(runs[-1].get("started"))[:10] if runs else ""
    return f", classified{f' by {model}' if model else ''}{f' on {date}' if date else ''}" * bool(
        run
    )


def provenance(path: Path, run: Mapping[str, Any]) -> str:
    """The section about model, date, machine and options; ``run`` may lack anything."""
    title = "How these rows came to be"
    if not run:
        words = f"There is no {path.stem}.run.json beside {path.name}: who made it is not known."
        return section("run", title, f'<p class="note">{text(words)}</p>')
    options = _inner(run, "options")
    runs = [entry for entry in _list(run, "runs") if isinstance(entry, Mapping)]
    last: Mapping[str, Any] = runs[-1] if runs else {}
    versions = _inner(last, "versions")
    pairs = [
        ("Model", _said(run.get("bundle"))),
        ("sha256 of the model", _said(options.get("model"))[:_SHORT]),
        ("MLflow run that trained it", _said(run.get("training_run"))),
        ("Started (UTC)", ", ".join(_said(entry.get("started")) for entry in runs[-5:])),
        ("Machine", ", ".join(sorted({_said(entry.get("host")) for entry in runs} - {""}))),
        (
            "Engine",
            " on ".join(filter(None, (_said(last.get("engine")), _said(last.get("device"))))),
        ),
        ("Inputs", ", ".join(map(_said, _list(run, "inputs")[:20]))),
        ("Instrument asked for", _said(options.get("instrument"))),
        ("Class shares assumed", _prior(run.get("prior"))),
        ("Part", _said(options.get("shard"))),
        ("Versions", ", ".join(f"{name} {_said(number)}" for name, number in versions.items())),
        ("sha256 of the file", _said(run.get("sha256"))[:_SHORT]),
    ]
    parts = [facts(pairs)]
    if run.get("sha256") not in (None, sha256_of(path)):
        parts.append(
            f'<p class="note warn">{text(path.name)} was changed after classify wrote it: its '
            f"sha256 is another than the one in {text(path.stem)}.run.json.</p>"
        )
    return section("run", title, *parts)


def _inner(run: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = run.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(run: Mapping[str, Any], key: str) -> list[Any]:
    value = run.get(key)
    return value if isinstance(value, list) else []


def _said(value: object) -> str:
    return "" if value is None else str(value)


def _prior(prior: object) -> str:
    return _said(prior.get("source", prior)) if isinstance(prior, Mapping) else _said(prior)
