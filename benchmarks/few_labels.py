"""What a few labels of the new camera are worth: macro recall against their number.

    python -m benchmarks.few_labels --data DIR --work runs/isiis_pwspc --base source_only

The images to label are picked from the predictions of the finished run ``BASE-0`` of
``benchmarks.isiis_pwspc`` in --work; the labels of PWSPC ``train`` stand in for the person who
labels. Then method source_only is trained with them as ``data.target_labelled``, and scored on
PWSPC ``test``. A finished run is kept in --work: the same command continues where it stopped.
Writes ``benchmarks/results/few_labels.json``, ``.md`` and ``.png``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from benchmarks.isiis_pwspc import RESULTS, SETTINGS, run_one
from benchmarks.provenance import footer, provenance
from plankton_da.config_reading import QUICK
from plankton_da.evaluation.report.figures import as_png, new_figure

UNLABELLED = ("target.csv",)
QUICK_NUMBERS = (0, 100, 300)
QUICK_SETTINGS = {
    key: YAML(typ="safe").load(value) for key, _, value in (each.partition("=") for each in QUICK)
}
STRATEGIES = ("random", "balanced")


def label(work: Path, data: Path, base: str, strategy: str, number: int, draw: int) -> Path:
    """Pick images with ``audit select`` and fill in their labels; the labelled manifest."""
    predictions = work / f"{base}-0.target.csv"
    if not predictions.exists():
        _plankton_da(
            "classify", work / f"{base}-0/bundle", work / "target.csv", "--out", predictions
        )
    picked = work / f"few-{strategy}-{number}-{draw}.csv"
    if not picked.exists():
        blank = picked.with_suffix(".blank.csv")
        words = ("--n", number, "--strategy", strategy, "--seed", draw, "--out", blank)
        _plankton_da("audit", "select", predictions, *words, "--overwrite")
        known = pd.read_csv(data / "all.csv", dtype=str, keep_default_na=False)
        known = known[known["instrument"] == "PWSPC"].set_index("object_id")["label"]
        rows = pd.read_csv(blank, dtype=str, keep_default_na=False)
        rows["label"] = rows["object_id"].map(known)
        rows.to_csv(picked, index=False)
    return picked


def _plankton_da(*words: object) -> None:
    command = [sys.executable, "-m", "plankton_da", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def table_of(runs: Sequence[Mapping[str, Any]]) -> str:
    """One row per number and strategy: means over draws, ± standard deviation."""
    lines = [
        "| labels | picked | PWSPC macro recall | accuracy | 4 views: macro recall | accuracy "
        "| ISIIS val macro recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, strategy, own in _groups(runs):
        cells = [_mean(own, "target_test", "macro_recall"), _mean(own, "target_test", "accuracy")]
        cells += [_mean(own, "target_test_views", name) for name in ("macro_recall", "accuracy")]
        cells.append(_mean(own, "mid_val", "macro_recall"))
        lines.append(f"| {number} | {strategy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _groups(
    runs: Sequence[Mapping[str, Any]],
) -> list[tuple[int, str, list[Mapping[str, Any]]]]:
    keys = dict.fromkeys((run["labels"], run["strategy"]) for run in runs)
    return [
        (number, strategy, [r for r in runs if (r["labels"], r["strategy"]) == (number, strategy)])
        for number, strategy in sorted(keys)
    ]


def _mean(runs: Sequence[Mapping[str, Any]], place: str, metric: str) -> str:
    values = np.array([run[place][metric] for run in runs])
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def plot(runs: Sequence[Mapping[str, Any]]) -> bytes:
    """Macro recall against the number of labels, every run a dot, means joined."""
    figure = new_figure(6.0, 4.0)
    axes = figure.subplots()
    groups = _groups(runs)
    start = next((own for number, strategy, own in groups if strategy == "-"), [])
    for strategy, colour in zip(STRATEGIES, ("#888888", "#0b6e99"), strict=True):
        points = [(0, start)] if start else []
        points += [(number, own) for number, name, own in groups if name == strategy]
        values = [[run["target_test_views"]["macro_recall"] for run in own] for _, own in points]
        places = [number for number, _ in points]
        axes.plot(places, [np.mean(each) for each in values], color=colour, label=strategy)
        for place, each in zip(places, values, strict=True):
            axes.plot([place] * len(each), each, "o", color=colour, markersize=3)
    axes.set_xlabel("labelled images of the new camera")
    axes.set_ylabel("macro recall on the new camera")
    axes.set_ylim(0.3, 0.9)
    axes.grid(alpha=0.3)
    axes.legend(title="picked", loc="lower right")
    return as_png(figure)


def main() -> None:
    """Run, or continue, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with all.csv")
    parser.add_argument("--work", type=Path, default=Path("runs/isiis_pwspc"))
    parser.add_argument("--base", default="source_only", help="whose predictions pick the images")
    parser.add_argument("--draws", default="0,1,2", help="seeds of picking and training")
    parser.add_argument("--numbers", default="30,100,300", help="how many labels")
    options = parser.parse_args()
    work = options.work
    runs = []
    for draw in map(int, options.draws.split(",")):
        without = run_one(options.base, draw, work, SETTINGS, threads=1, target=UNLABELLED)
        runs.append({**without, "labels": 0, "strategy": "-"})
        for number in map(int, options.numbers.split(",")):
            for strategy in STRATEGIES:
                few = label(work, options.data, options.base, strategy, number, draw)
                settings = {
                    **SETTINGS,
                    "data.target_labelled": (str(few),),
                    "training.evaluate_every": SETTINGS["training.steps"],  # the last step it is
                }
                name = f"few_{strategy}_{number}"
                run = run_one(
                    name, draw, work, settings, 1, method="source_only", target=UNLABELLED
                )
                runs.append({**run, "labels": number, "strategy": strategy})
                print(name, draw, round(run["target_test_views"]["macro_recall"], 3), flush=True)
        for number in QUICK_NUMBERS:
            quick = {**SETTINGS, **QUICK_SETTINGS, "training.evaluate_every": 450}
            if number:
                few = label(work, options.data, options.base, "balanced", number, draw)
                quick["data.target_labelled"] = (str(few),)
            name = f"few_quick_{number}"
            run = run_one(name, draw, work, quick, 1, method="source_only", target=UNLABELLED)
            runs.append({**run, "labels": number, "strategy": "balanced, --quick"})
            print(name, draw, round(run["target_test_views"]["macro_recall"], 3), flush=True)
    document = {**provenance(), "settings": dict(SETTINGS), "base": options.base, "runs": runs}
    (RESULTS / "few_labels.json").write_text(json.dumps(document, indent=1) + "\n")
    (RESULTS / "few_labels.png").write_bytes(plot(runs))
    text = "\n".join(
        [
            "# A few labels of the new camera (ISIIS to PWSPC, ten classes)",
            "",
            "source_only with `data.target_labelled`; images picked by `audit select` from the "
            f"predictions of {options.base}, draws {options.draws}; scored on PWSPC `test`. "
            "`--quick`: the last layer alone, on frozen features.",
            "",
            table_of(runs),
            "",
            "![macro recall against labels](few_labels.png)",
            "",
            footer(document),
        ]
    )
    (RESULTS / "few_labels.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
