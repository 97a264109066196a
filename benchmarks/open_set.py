"""Images of classes that mid lacks: are they told apart, and what does telling them cost?

    python -m benchmarks.open_set --data DIR --work runs/isiis_pwspc --methods source_only,mcc

Takes the finished runs of ``benchmarks.isiis_pwspc`` in --work. PWSPC ``test`` with
``test_private`` (classes that mid lacks) mixed in is classified with ``--abstain 0.05``: an image
becomes ``unclassified`` where its probabilities' entropy is above that of 95% of mid's val images.
Writes ``benchmarks/results/open_set.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.isiis_pwspc import CLASSES, RESULTS
from benchmarks.provenance import footer, provenance
from plankton_da.prediction.abstention import entropy

ABSTAIN = 0.05


def write_manifest(data: Path, work: Path) -> Path:
    """PWSPC test: of the ten classes, and of classes that mid lacks."""
    table = pd.read_csv(data / "all.csv", dtype=str, keep_default_na=False)
    table = table[table["instrument"] == "PWSPC"]
    known = (table["split"] == "test") & table["label"].isin(CLASSES)
    table = table[known | (table["split"] == "test_private")]
    table["split"] = "test"
    table["image"] = [str((data / image).resolve()) for image in table["image"]]
    path = work / "open.csv"
    table.to_csv(path, index=False)
    return path


def score(bundle: Path, manifest: Path) -> dict[str, float]:
    """What one bundle makes of it."""
    out = bundle.parent / "open.parquet"
    options = ["--abstain", str(ABSTAIN), "--all-scores", "--out", str(out), "--json"]
    command = [sys.executable, "-m", "plankton_da", "classify", str(bundle), str(manifest)]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    rows = pd.read_parquet(out)
    known = rows["true_label"].isin(CLASSES).to_numpy()
    kept = (rows["label"] != "unclassified").to_numpy()
    right = (rows["raw_label"] == rows["true_label"]).to_numpy()
    probabilities = rows[[f"p_{name}" for name in CLASSES]].to_numpy()

    def macro(chosen: np.ndarray, hit: np.ndarray) -> float:
        labels = rows["true_label"].to_numpy()
        recalls = [hit[chosen & (labels == name)] for name in CLASSES]
        return float(np.mean([each.mean() for each in recalls if len(each)]))

    return {
        "known": int(known.sum()),
        "unknown": int((~known).sum()),
        "auroc_entropy": float(roc_auc_score(~known, entropy(probabilities))),
        "auroc_score": float(roc_auc_score(~known, -rows["score"])),
        "known_kept": float(kept[known].mean()),
        "unknown_unclassified": float((~kept[~known]).mean()),
        "macro_recall_all": macro(known, right),
        "macro_recall_kept_or_wrong": macro(known, right & kept),
        "macro_recall_of_kept": macro(known & kept, right),
    }


def main() -> None:
    """Score and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with all.csv")
    parser.add_argument("--work", type=Path, default=Path("runs/isiis_pwspc"))
    parser.add_argument("--methods", default="source_only,mcc")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    manifest = write_manifest(options.data, options.work)
    runs: list[dict[str, Any]] = [
        {"method": method, "seed": int(seed)}
        | score(options.work / f"{method}-{seed}/bundle", manifest)
        for method in options.methods.split(",")
        for seed in options.seeds.split(",")
    ]
    document = {**provenance(), "abstain": ABSTAIN, "runs": runs}
    (RESULTS / "open_set.json").write_text(json.dumps(document, indent=1) + "\n")
    columns = {
        "auroc_entropy": "AUROC by entropy",
        "auroc_score": "by score",
        "known_kept": "known kept",
        "unknown_unclassified": "unknown called unclassified",
        "macro_recall_all": "macro recall of the known, all kept",
        "macro_recall_kept_or_wrong": "unclassified counted as wrong",
        "macro_recall_of_kept": "of those kept",
    }
    lines = [
        "# Images of classes that mid lacks",
        "",
        f"PWSPC `test` ({runs[0]['known']} images of the ten classes) with `test_private` "
        f"({runs[0]['unknown']} of others), `classify --abstain {ABSTAIN}`: unclassified where the "
        "entropy is above that of 95% of mid's val images. Means over seeds "
        f"{options.seeds}, ± standard deviation. Energy needs logits, which `model.onnx` does not "
        "give; it was not tried.",
        "",
        f"| method | {' | '.join(columns.values())} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for method in options.methods.split(","):
        own = [[run[name] for run in runs if run["method"] == method] for name in columns]
        cells = [f"{np.mean(each):.3f} ± {np.std(each, ddof=1):.3f}" for each in own]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += [
        "",
        footer(document),
    ]
    text = "\n".join(lines)
    (RESULTS / "open_set.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
