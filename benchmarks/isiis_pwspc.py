"""Two real cameras: ISIIS (mid, labelled) to PWSPC (target, unlabelled), ten classes.

    python -m benchmarks.isiis_pwspc --data DIR --methods source_only,adabn,dann --seeds 0,1,2

DIR holds ``all.csv`` (object_id, image, instrument, label, split, group, ...). PWSPC ``train`` goes
into training without its labels; PWSPC ``test`` is read after a run is over, to report. A finished
run is kept in --work: the same command continues where it stopped. Writes
``benchmarks/results/isiis_pwspc.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.provenance import provenance
from plankton_da.config_text import config_text, write_config
from plankton_da.evaluation.evaluate import evaluate
from plankton_da.manifests.table import read_manifest
from plankton_da.prediction.predictor import Predictor

RESULTS = Path(__file__).parent / "results"
CLASSES = (
    "appendicularian",
    "chaetognath",
    "copepod_calanoid",
    "copepod_oithona",
    "ctenophore",
    "detritus_snow",
    "doliolid",
    "hydromedusa",
    "pteropod",
    "siphonophore",
)
SETTINGS: Mapping[str, Any] = {
    "data.image_size": 112,
    "data.augmentation": "strong",
    "data.batch_size_per_instrument": 24,
    "data.workers": 0,
    "model.freeze": 6,
    "training.steps": 450,
    "training.frozen_copies": 4,
    "training.evaluate_every": 150,
    "training.yardstick": False,
    "tracking.backend": "none",
}
"""what all runs share, beside the defaults of their configs"""
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "dann_published": (
        "dann",
        {"model.batch_norm": "shared", "model.freeze": "none", "training.frozen_copies": 0},
    ),
    "dann_per_domain": ("dann", {"model.batch_norm": "per_domain"}),
    "dann_weak": ("dann", {"method.grl_strength": 0.1}),
    "cdan_mcc": ("cdan", {"method.grl_strength": 0.1, "method.mcc_weight": 1.0}),
    "mcc_sdat": ("mcc", {"optimizer.sdat": 0.02}),
}
"""name in the table -> method and what differs from its config; other names are methods as such"""
VIEWS = 4
"""turned views of each image whose mean stands beside the plain scores"""


def write_manifests(data: Path, work: Path) -> tuple[Path, Path, Path]:
    """mid (ISIIS train and val), target (PWSPC train without labels), test (PWSPC test)."""
    table = pd.read_csv(data / "all.csv", dtype=str, keep_default_na=False)
    table = table[table["label"].isin(CLASSES)]
    table["image"] = [str((data / image).resolve()) for image in table["image"]]
    isiis, pwspc = (table[table["instrument"] == name] for name in ("ISIIS", "PWSPC"))
    parts = {
        "mid": isiis[isiis["split"].isin(["train", "val"])],
        "target": pwspc[pwspc["split"] == "train"].drop(columns=["label", "original_label"]),
        "test": pwspc[pwspc["split"] == "test"],
    }
    work.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        rows.to_csv(work / f"{name}.csv", index=False)
    return work / "mid.csv", work / "target.csv", work / "test.csv"


def run_one(
    name: str,
    seed: int,
    work: Path,
    settings: Mapping[str, Any],
    threads: int,
    method: str | None = None,
) -> dict[str, Any]:
    """Train in a process of its own, or take the finished run; then score the bundle.

    ``method`` is what ``name`` says where it is None.
    """
    method, own = (method, {}) if method else VARIANTS.get(name, (name, {}))
    folder = work / f"{name}-{seed}"
    config = work / f"{name}-{seed}.yaml"
    changes = {**settings, **own, "seed": seed, "output_dir": str(folder)}
    text = config_text(
        method, mid=(str(work / "mid.csv"),), target=(str(work / "target.csv"),), changes=changes
    )
    write_config(text, config, overwrite=True)
    timing = work / f"{name}-{seed}.seconds"
    began = time.perf_counter()
    with (work / f"{name}-{seed}.log").open("a") as log:
        trained = subprocess.run(
            [sys.executable, "-m", "plankton_da", "train", str(config), "--resume", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    if trained.returncode:
        sys.exit(f"{name} seed {seed} failed with exit code {trained.returncode}; see {log.name}")
    if not timing.exists():
        timing.write_text(f"{time.perf_counter() - began:.1f}")
    result = json.loads(trained.stdout)
    return {
        "method": name,
        "seed": seed,
        "seconds": float(timing.read_text()),
        "selected_step": result["selected_step"],
        "selected_by": result["selected_by"],
        "diagnosis": result["diagnosis"],
        "mid_val": {
            name: result["metrics"][f"val/ISIIS/{name}"] for name in ("accuracy", "macro_recall")
        },
        **score(Path(result["bundle"]), work),
    }


def score(bundle: Path, work: Path) -> dict[str, Any]:
    """Scores on PWSPC ``test``, plain and as the mean of turned views; kept beside the bundle."""
    kept = bundle.parent / "test_scores.json"
    if not kept.exists():
        test = read_manifest(work / "test.csv")
        found = {}
        for name, views in (("target_test", 1), ("target_test_views", VIEWS)):
            predictor = Predictor.open(bundle, views=views)  # type: ignore[arg-type]
            found[name] = evaluate(predictor, [test], "test")["instruments"]["PWSPC"]
        kept.write_text(json.dumps(found))
    loaded: dict[str, Any] = json.loads(kept.read_text())
    return loaded


def table_of(runs: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """The markdown table: one row per method, means over seeds."""
    lines = [
        "| method | PWSPC macro recall | of each seed (95% bootstrap interval) | PWSPC accuracy "
        f"| {VIEWS} views: macro recall | accuracy | ECE | ISIIS val macro recall "
        "| minutes a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in methods:
        own = [run for run in runs if run["method"] == method]
        test = [run["target_test"] for run in own]
        recalls = np.array([scores["macro_recall"] for scores in test])
        spread = f" ± {recalls.std(ddof=1):.3f}" if len(recalls) > 1 else ""
        each = ", ".join(
            "{:.3f} [{:.2f}, {:.2f}]".format(scores["macro_recall"], *scores["macro_recall_ci"])
            for scores in test
        )
        lines.append(
            f"| {method} | {recalls.mean():.3f}{spread} | {each} "
            f"| {np.mean([scores['accuracy'] for scores in test]):.3f} "
            f"| {np.mean([run['target_test_views']['macro_recall'] for run in own]):.3f} "
            f"| {np.mean([run['target_test_views']['accuracy'] for run in own]):.3f} "
            f"| {np.mean([scores['ece'] for scores in test]):.3f} "
            f"| {np.mean([run['mid_val']['macro_recall'] for run in own]):.3f} "
            f"| {np.mean([run['seconds'] for run in own]) / 60:.1f} |"
        )
    return "\n".join(lines)


def per_class_table(runs: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """Recall per class, means over seeds."""
    lines = [f"| class | n | {' | '.join(methods)} |", f"|---|---|{'---|' * len(methods)}"]
    for name in CLASSES:
        cells = []
        for method in methods:
            own = [run["target_test"]["per_class"] for run in runs if run["method"] == method]
            cells.append(f"{np.mean([scores[name]['recall'] for scores in own]):.2f}")
            count = own[0][name]["n"]
        lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run, or continue, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with all.csv")
    parser.add_argument("--methods", default="source_only,adabn,dann")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--work", type=Path, default=Path("runs/isiis_pwspc"))
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--name", default="isiis_pwspc", help="name of the result files")
    options = parser.parse_args()
    methods = options.methods.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    write_manifests(options.data, options.work)
    threads = max(1, len(os.sched_getaffinity(0)) // options.jobs)
    with ThreadPoolExecutor(options.jobs) as pool:
        pending = [
            pool.submit(run_one, method, seed, options.work, SETTINGS, threads)
            for seed in seeds
            for method in methods
        ]
        runs = [future.result() for future in pending]
    document = {**provenance(), "settings": dict(SETTINGS), "seeds": seeds, "runs": runs}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(document, indent=1) + "\n")
    settings = ", ".join(f"{key}={value}" for key, value in SETTINGS.items())
    text = "\n".join(
        [
            "# ISIIS to PWSPC, ten classes",
            "",
            "Mid: ISIIS `train`, chosen on ISIIS `val` and unlabelled PWSPC `train`; scored once "
            "on PWSPC `test`. Means over seeds, ± standard deviation.",
            "",
            table_of(runs, methods),
            "",
            "Recall per class on PWSPC `test`:",
            "",
            per_class_table(runs, methods),
            "",
            f"Settings beside each config's defaults: {settings}. Seeds {options.seeds}, "
            f"{options.jobs} runs side by side with {threads} thread(s) each. "
            f"{document['machine']}; {document['date']}; "
            + ", ".join(f"{name} {number}" for name, number in document["versions"].items())
            + f"; commit {document['commit']}.",
        ]
    )
    (RESULTS / f"{options.name}.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
