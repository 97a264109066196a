"""Two real cameras: ISIIS (mid, labelled) to PWSPC (target, unlabelled), ten classes.

    python -m benchmarks.isiis_pwspc --data DIR --methods source_only,adabn,dann --seeds 0,1,2

DIR holds ``all.csv`` (object_id, image, instrument, label, split, group, ...). PWSPC ``train`` goes
into training without its labels; PWSPC ``test`` is scored, to report, and has no say. ``oracle``
alone learns from the labels of PWSPC ``train`` too. ``--task reverse`` takes the cameras the other
way round: PWSPC ``train`` with labels to ISIIS; in ``--task partial`` the target has five of the
ten classes. A finished run is kept in --work: the same command continues where it stopped. Writes
``benchmarks/results/isiis_pwspc.json`` and ``.md``, or those named after the task.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from benchmarks.paired import paired_gain
from benchmarks.provenance import footer, provenance
from plankton_da.adaptation.start import bundle_settings
from plankton_da.config_text import config_text, write_config
from plankton_da.evaluation.evaluate import classify_rows, labelled_rows
from plankton_da.evaluation.metrics import score as metrics_of
from plankton_da.manifests.table import read_manifest
from plankton_da.networks.bundle import read_bundle_info
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
PARTIAL = (
    "appendicularian",
    "copepod_calanoid",
    "copepod_oithona",
    "ctenophore",
    "hydromedusa",
)
"""the classes that PWSPC test has at least fifty images of"""
Task: TypeAlias = Literal["forward", "partial", "reverse"]
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
    "shot": ("shot", {"data.batch_size_per_instrument": 32}),
    "distill": (
        "distill",
        {
            "method.teachers": tuple(
                f"{{work}}/{name}-{seed}/bundle"
                for name in ("source_only", "mcc")
                for seed in "012"
            )
        },
    ),
    "oracle": ("source_only", {"data.target_labelled": ("{work}/oracle.csv",)}),
}
"""name in the table -> method and what differs from its config ({work}: the folder of the runs);
other names are methods as such"""
START = "source_only"
"""whose bundle of the same seed shot starts from"""
_OF_MID_VAL = re.compile(r"val/[^/]+/accuracy")
VIEWS = 4
"""turned views of each image whose mean stands beside the plain scores"""


def write_manifests(data: Path, work: Path, task: Task = "forward") -> None:
    """``mid``, ``target`` (without labels), ``oracle`` (the same with labels) and ``test`` .csv.

    Mid is ISIIS train and val, the target PWSPC train, tested on PWSPC test; in ``partial``, of the
    classes in PARTIAL alone. In ``reverse``, mid is PWSPC train, a fifth of its groups being val,
    the target ISIIS train, tested on ISIIS val.
    """
    table = pd.read_csv(data / "all.csv", dtype=str, keep_default_na=False)
    table = table[table["label"].isin(CLASSES)]
    table["image"] = [str((data / image).resolve()) for image in table["image"]]
    isiis, pwspc = (table[table["instrument"] == name] for name in ("ISIIS", "PWSPC"))
    mid, target, test = isiis[isiis["split"].isin(["train", "val"])], pwspc, pwspc
    if task == "partial":
        target = test = pwspc[pwspc["label"].isin(PARTIAL)]
    elif task == "reverse":
        mid = pwspc[pwspc["split"] == "train"].copy()
        groups = np.random.default_rng(0).permutation(sorted(set(mid["group"])))
        mid.loc[mid["group"].isin(groups[: len(groups) // 5]), "split"] = "val"
        target, test = isiis, isiis[isiis["split"] == "val"].assign(split="test")
    target = target[target["split"] == "train"]
    parts = {
        "mid": mid,
        "target": target.drop(columns=["label", "original_label"]),
        "oracle": target,
        "test": test[test["split"] == "test"],
    }
    work.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        rows.to_csv(work / f"{name}.csv", index=False)


def run_one(
    name: str,
    seed: int,
    work: Path,
    settings: Mapping[str, Any],
    threads: int,
    method: str | None = None,
    target: Sequence[str] = ("target.csv", "test.csv"),
) -> dict[str, Any]:
    """Train in a process of its own, or take the finished run; then score the bundle.

    ``method`` is what ``name`` says where it is None. ``target``: files in ``work``; ``test`` among
    them is scored at each evaluation, and has no say.
    """
    method, own = (method, {}) if method else VARIANTS.get(name, (name, {}))
    own = {key: _within(work, value) for key, value in own.items()}
    mid: tuple[str, ...] = (str(work / "mid.csv"),)
    if method == "shot":
        mid, own = (), {**own, **bundle_settings(str(work / f"{START}-{seed}/bundle"))}
    folder = work / f"{name}-{seed}"
    config = work / f"{name}-{seed}.yaml"
    changes = {**settings, **own, "seed": seed, "output_dir": str(folder)}
    targets = tuple(str(work / file) for file in target)
    text = config_text(method, mid=mid, target=targets, changes=changes)
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
        timing.write_text(f"{time.perf_counter() - began:.1f} {threads}")
    seconds, _, trained_on = timing.read_text().partition(" ")
    result = json.loads(trained.stdout)
    metrics = result["metrics"]
    of_mid = [key.removesuffix("accuracy") for key in metrics if _OF_MID_VAL.fullmatch(key)]
    return {
        "method": name,
        "seed": seed,
        "seconds": float(seconds),
        "threads": int(trained_on) if trained_on else None,
        "commit": read_bundle_info(Path(result["bundle"])).git_commit,
        "selected_step": result["selected_step"],
        "selected_by": result["selected_by"],
        "diagnosis": result["diagnosis"],
        "mid_val": {
            kind: metrics[of_mid[0] + kind] if of_mid else None
            for kind in ("accuracy", "macro_recall")
        },
        **score(Path(result["bundle"]), work),
    }


def _within(work: Path, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_within(work, each) for each in value)
    return value.format(work=work) if isinstance(value, str) else value


def score(bundle: Path, work: Path) -> dict[str, Any]:
    """Scores on the target's ``test``, plain and as the mean of turned views.

    The rows are kept beside the bundle.
    """
    found = {}
    for name, views in (("target_test", 1), ("target_test_views", VIEWS)):
        rows = rows_of_test(bundle, work, views)
        found[name] = metrics_of(
            rows["true_label"].tolist(), rows["label"].tolist(), rows["score"], CLASSES
        )
    return found


def rows_of_test(bundle: Path, work: Path, views: int) -> pd.DataFrame:
    """Prediction rows of the target's ``test``, in its order."""
    kept = bundle.parent / f"test_{views}.parquet"
    if not kept.exists():
        predictor = Predictor.open(bundle, views=views)  # type: ignore[arg-type]
        chosen = labelled_rows([read_manifest(work / "test.csv")], "test")
        classify_rows(predictor, chosen.table).to_parquet(kept)
    return pd.read_parquet(kept)


def table_of(
    runs: Sequence[Mapping[str, Any]], methods: Sequence[str], gains: Mapping[str, Sequence[float]]
) -> str:
    """The markdown table: one row per method, means over seeds."""
    lines = [
        "| method | macro recall | of each seed (95% bootstrap interval) "
        "| gain over source_only (95% paired interval) | accuracy "
        f"| {VIEWS} views: macro recall | accuracy | ECE | mid val macro recall | minutes a run |",
        "|---|---|---|---|---|---|---|---|---|---|",
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
            f"| {method} | {recalls.mean():.3f}{spread} | {each} | {_gain(gains.get(method))} "
            f"| {np.mean([scores['accuracy'] for scores in test]):.3f} "
            f"| {np.mean([run['target_test_views']['macro_recall'] for run in own]):.3f} "
            f"| {np.mean([run['target_test_views']['accuracy'] for run in own]):.3f} "
            f"| {np.mean([scores['ece'] for scores in test]):.3f} "
            f"| {_mean([run['mid_val']['macro_recall'] for run in own])} "
            f"| {np.mean([run['seconds'] for run in own]) / 60:.1f} |"
        )
    return "\n".join(lines)


def _gain(found: Sequence[float] | None) -> str:
    return "-" if found is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*found)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f}" if known else "-"


def gains_over(
    runs: Sequence[Mapping[str, Any]], methods: Sequence[str], work: Path, views: int
) -> dict[str, list[float]]:
    """Method -> gain of its mean macro recall over source_only's, and its 95% interval."""

    def of(method: str) -> list[pd.DataFrame]:
        seeds = sorted(run["seed"] for run in runs if run["method"] == method)
        return [rows_of_test(work / f"{method}-{seed}/bundle", work, views) for seed in seeds]

    if START not in methods:
        return {}
    base = of(START)
    return {method: paired_gain(base, of(method)) for method in methods if method != START}


def per_class_table(runs: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """Recall per class, means over seeds."""
    lines = [f"| class | n | {' | '.join(methods)} |", f"|---|---|{'---|' * len(methods)}"]
    for name in CLASSES:
        cells = []
        for method in methods:
            own = [run["target_test"]["per_class"] for run in runs if run["method"] == method]
            cells.append(_mean([scores[name]["recall"] for scores in own]))
            count = own[0][name]["n"]
        lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


_TASKS: Mapping[Task, tuple[str, str, str]] = {
    "forward": (
        "isiis_pwspc",
        "ISIIS to PWSPC, ten classes",
        "Mid: ISIIS `train`, chosen on ISIIS `val` and unlabelled PWSPC `train`; scored once on "
        "PWSPC `test`. Means over seeds, ± standard deviation. `oracle` also learns from the "
        "labels of PWSPC `train`.",
    ),
    "partial": (
        "isiis_pwspc_partial",
        "ISIIS to PWSPC, a target that lacks five of the ten classes",
        f"As ISIIS to PWSPC, but PWSPC has {', '.join(PARTIAL)} alone, in `train` and in `test`; "
        "mid has all ten classes. Means over seeds, ± standard deviation.",
    ),
    "reverse": (
        "pwspc_isiis",
        "PWSPC to ISIIS, ten classes",
        "Mid: PWSPC `train`, a fifth of its capture times as val, chosen on that and on "
        "unlabelled ISIIS `train`; scored once on ISIIS `val`. Nothing was tuned for this "
        "direction. Means over seeds, ± standard deviation. `oracle` also learns from the "
        "labels of ISIIS `train`.",
    ),
}
"""task -> name of the result files, title, what was done"""


def main() -> None:
    """Run, or continue, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with all.csv")
    parser.add_argument("--methods", default="source_only,adabn,dann")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--work", type=Path, default=Path("runs/isiis_pwspc"))
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--task", choices=get_args(Task), default="forward")
    options = parser.parse_args()
    methods = options.methods.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    write_manifests(options.data, options.work, options.task)
    threads = max(1, len(os.sched_getaffinity(0)) // options.jobs)
    with ThreadPoolExecutor(options.jobs) as pool:
        pending = [
            pool.submit(run_one, method, seed, options.work, SETTINGS, threads)
            for seed in seeds
            for method in methods
        ]
        runs = [future.result() for future in pending]
    gains = {str(views): gains_over(runs, methods, options.work, views) for views in (1, VIEWS)}
    document = {
        **provenance(),
        "settings": dict(SETTINGS),
        "seeds": seeds,
        "gains_over_source_only": gains,
        "runs": runs,
    }
    RESULTS.mkdir(exist_ok=True)
    name, title, about = _TASKS[options.task]
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    settings = ", ".join(f"{key}={value}" for key, value in SETTINGS.items())
    text = "\n".join(
        [
            f"# {title}",
            "",
            about,
            "",
            table_of(runs, methods, gains["1"]),
            "",
            "Recall per class on the target:",
            "",
            per_class_table(runs, methods),
            "",
            f"Settings beside each config's defaults: {settings}. Seeds {options.seeds}, "
            f"{options.jobs} run(s) at a time. " + footer(document),
        ]
    )
    (RESULTS / f"{name}.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
