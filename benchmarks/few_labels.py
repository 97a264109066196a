"""What a few labels of the new camera are worth: macro recall against their number.

    python -m benchmarks.few_labels --data DIR --work runs/isiis_pwspc --rows balanced,random

The images to label are picked from the predictions of the finished run ``BASE-0`` of
``benchmarks.isiis_pwspc`` in --work; the labels of PWSPC ``train`` stand in for the person who
labels. Then method source_only is trained with them as ``data.target_labelled``, and scored on
PWSPC ``test``. A finished run is kept in --work: the same command continues where it stopped.
Writes ``benchmarks/results/few_labels.json``, ``.md`` and ``.png``; rows that stand there already
and are not asked for stay.
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
QUICK_SETTINGS = {
    key: YAML(typ="safe").load(value) for key, _, value in (each.partition("=") for each in QUICK)
}
ROWS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "random": ("random", "random", {}),
    "balanced": ("balanced", "balanced", {}),
    "quick": ("balanced", "balanced, --quick", QUICK_SETTINGS),
    "balanced160": ("balanced", "balanced, 160 px", {"data.image_size": 160}),
}
"""row -> how its images are picked, its name in the table, what differs from ``SETTINGS``"""
PLOTTED = {
    "random": ("#888888", True),
    "balanced": ("#0b6e99", True),
    "balanced, 160 px": ("#d1495b", False),
}
"""name in the table -> colour, and whether it starts from the runs without labels, of 112 px"""


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
        "| labels | picked | draws | PWSPC macro recall | accuracy | 4 views: macro recall "
        "| accuracy | ISIIS val macro recall |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, strategy, own in _groups(runs):
        cells = [str(len(own))]
        cells += [_mean(own, "target_test", name) for name in ("macro_recall", "accuracy")]
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
    for strategy, (colour, has_start) in PLOTTED.items():
        points = [(0, start)] if start and has_start else []
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
    parser.add_argument("--rows", default="random,balanced,quick", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--draws", default="0,1,2", help="seeds of picking and training")
    parser.add_argument("--numbers", default="0,30,100,300", help="how many labels")
    options = parser.parse_args()
    runs = {_key(run): run for run in _earlier()}
    for draw in map(int, options.draws.split(",")):
        for number in map(int, options.numbers.split(",")):
            for row in options.rows.split(","):
                run = run_row(row, number, draw, options)
                runs[_key(run)] = run
                recall = run["target_test_views"]["macro_recall"]
                print(row, number, draw, round(recall, 3), flush=True)
                write(list(runs.values()), options.base)


def run_row(row: str, number: int, draw: int, options: argparse.Namespace) -> dict[str, Any]:
    """One training, or the finished one."""
    work = options.work
    strategy, words, own = ROWS[row]
    if not number and not own:
        run = run_one(options.base, draw, work, SETTINGS, threads=1, target=UNLABELLED)
        return {**run, "labels": 0, "strategy": "-"}
    last = {"training.evaluate_every": SETTINGS["training.steps"]}  # the last step it is
    settings = {**SETTINGS, **own, **last}
    if number:
        few = label(work, options.data, options.base, strategy, number, draw)
        settings["data.target_labelled"] = (str(few),)
    name = f"few_{row}_{number}"
    run = run_one(name, draw, work, settings, 1, method="source_only", target=UNLABELLED)
    return {**run, "labels": number, "strategy": words}


def _key(run: Mapping[str, Any]) -> tuple[int, str, int]:
    return run["labels"], run["strategy"], run["seed"]


def _earlier() -> list[dict[str, Any]]:
    path = RESULTS / "few_labels.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    return runs


def write(runs: list[dict[str, Any]], base: str) -> None:
    """The results as JSON, table and plot."""
    runs = sorted(runs, key=_key)
    document = {**provenance(), "settings": dict(SETTINGS), "base": base, "runs": runs}
    (RESULTS / "few_labels.json").write_text(json.dumps(document, indent=1) + "\n")
    (RESULTS / "few_labels.png").write_bytes(plot(runs))
    text = "\n".join(
        [
            "# A few labels of the new camera (ISIIS to PWSPC, ten classes)",
            "",
            "source_only with `data.target_labelled`; images picked by `audit select` from the "
            f"predictions of {base}; scored on PWSPC `test`; means over draws ± standard "
            "deviation. 112 px where nothing else is said; `--quick`: the last layer alone, on "
            "frozen features.",
            "",
            table_of(runs),
            "",
            "![macro recall against labels](few_labels.png)",
            "",
            footer(document),
        ]
    )
    (RESULTS / "few_labels.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
