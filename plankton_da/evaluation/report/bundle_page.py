"""A bundle, or the run that made it, as a page: its scores per instrument and its origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plankton_da.errors import BundleError
from plankton_da.evaluation.report.document import document
from plankton_da.evaluation.report.markup import bar, facts, number, score, section, table, text
from plankton_da.networks.bundle import BundleInfo, bundle_hash, read_bundle_info

_FIGURES = {
    "accuracy": "accuracy",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "ece": "ECE",
    "coverage": "coverage",
}


def bundle_page(folder: Path) -> str:
    """The page about a bundle's folder, or a training run's ``output_dir``.

    Raises
    ------
    BundleError
        It is neither, or damaged.
    """
    bundle = folder / "bundle" if (folder / "bundle").is_dir() else folder
    info = read_bundle_info(bundle)
    diagnosis = _diagnosis(folder) if bundle != folder else None
    sections = {
        "scores": ("Scores", _scores(info)),
        "diagnosis": ("Diagnosis", "" if diagnosis is None else _sentences(diagnosis)),
        **{
            f"place-{index}": (place, _classes(place, index, values))
            for index, (place, values) in enumerate(info.metrics.items())
        },
        "run": ("Origin", _origin(info, bundle)),
    }
    mid, target = (", ".join(names) for names in (info.mid_instruments, info.target_instruments))
    lead = f"{info.method}, {info.backbone}: {mid} → {target}, {len(info.classes)} classes"
    menu = [(identifier, name) for identifier, (name, content) in sections.items() if content]
    name = bundle.resolve().parent.name if bundle.resolve().name == "bundle" else bundle.name
    return document(name, lead, menu, [content for _, content in sections.values() if content])


def _diagnosis(folder: Path) -> list[str]:
    """The sentences of the run's ``diagnosis.json``; none where the run has none."""
    path = folder / "diagnosis.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(
            f"{path} is damaged: {error}; give the bundle alone: {folder}/bundle"
        ) from (None)
    return [str(sentence) for sentence in content] if isinstance(content, list) else []


def _sentences(diagnosis: list[str]) -> str:
    items = "".join(f"<li>{text(sentence, 600)}</li>" for sentence in diagnosis)
    words = f'<ul class="plain">{items}</ul>' if items else "<p>Nothing conspicuous.</p>"
    return section("diagnosis", "Diagnosis", words)


def _scores(info: BundleInfo) -> str:
    if not info.metrics:
        words = "No labelled images were there: nothing was measured."
        return section("scores", "Scores", f'<p class="note">{words}</p>')
    head = ["split / instrument", "images", *_FIGURES.values()]
    rows = [
        [text(place), number(values.get("n", 0)), *(score(values.get(name)) for name in _FIGURES)]
        for place, values in info.metrics.items()
    ]
    note = ""
    if any(place.startswith("oracle/") for place in info.metrics):
        note = '<p class="note">oracle/: target labels were read to report this.</p>'
    return section("scores", "Scores", table("Scores", head, rows, 6, sortable=False), note)


def _classes(place: str, index: int, values: Mapping[str, Any]) -> str:
    per_class = values.get("per_class", {})
    rows = [
        [
            text(label),
            number(one["n"]),
            score(one["recall"]) + bar(one["recall"] or 0, 1),
            score(one["precision"]) + bar(one["precision"] or 0, 1),
        ]
        for label, one in per_class.items()
    ]
    body = table(text(place), ["class", "images", "recall", "precision"], rows, 3, sortable=True)
    return section(f"place-{index}", text(place), body)


def _origin(info: BundleInfo, bundle: Path) -> str:
    pairs = [
        ("Bundle", str(bundle)),
        ("sha256", bundle_hash(bundle)[:12]),
        ("Made (UTC)", info.created),
        ("Method", info.method),
        ("Network", f"{info.backbone}, {info.preprocess.image_size} pixels"),
        ("MLflow run", info.run_id or ""),
        ("Seed", str(info.seed)),
        ("Commit", (info.git_commit or "")[:12]),
        ("Manifests", ", ".join(info.manifests)),
        ("Licences of the images", "; ".join(info.licences)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
    ]
    return section("run", "Origin", facts(pairs))
