"""Choosing a model without target labels: what each criterion picks, and what that loses.

    python -m benchmarks.selection --forward runs/isiis_pwspc [DIR ...] --reverse runs/pwspc_isiis

Takes every checkpoint of the finished runs of ``benchmarks.isiis_pwspc`` in these folders. The
oracle is the macro recall on the target's ``test``. For each criterion: Spearman's rank correlation
with the oracle over all checkpoints, and the regret: how far what it picks is behind the best.
Picks are repeated over draws of runs, since one pick says little. Writes
``benchmarks/results/selection.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from benchmarks.isiis_pwspc import CLASSES, RESULTS
from benchmarks.provenance import footer, provenance
from plankton_da.adaptation.checkpoints import checkpoint_path, read_checkpoint
from plankton_da.adaptation.frozen_features import frozen_key
from plankton_da.adaptation.selection import GATE, collapsed
from plankton_da.evaluation.metrics import score as metrics_of
from plankton_da.evaluation.priors import estimate_prior
from plankton_da.images.refs import open_image
from plankton_da.manifests.table import read_manifest
from plankton_da.networks.bundle import Bundle, read_bundle, read_bundle_info
from plankton_da.networks.classifier import PlanktonNetwork
from plankton_da.prediction.abstention import entropy
from plankton_da.prediction.predictor import Predictor

DRAWS = 200
SHARE = 0.5
"""of the runs that a draw holds"""
ORACLES = ("oracle",)
"""runs that learnt from target labels, and so are no candidates"""


@dataclass(frozen=True)
class Checkpoint:
    """One candidate."""

    run: str
    method: str
    entry: dict[str, Any]
    """of ``history.json``"""
    predicted: np.ndarray
    """(N, K) probabilities of the target's unlabelled images"""


Criterion = Callable[[Sequence[Checkpoint]], np.ndarray]
"""candidates -> (candidates,) score, the greatest is picked; -inf: never"""


def read_runs(folders: Sequence[Path]) -> list[Checkpoint]:
    """All checkpoints of all finished runs; what they predict is kept beside them."""
    shown: dict[tuple[str, str], Images] = {}
    found = []
    for result in sorted(path for folder in folders for path in folder.glob("*/result.json")):
        run = result.parent
        name = run.name.rpartition("-")[0]
        if name in ORACLES or name.startswith("few_"):
            continue
        steps = sorted(int(path.stem.partition("_")[2]) for path in run.glob("checkpoints/*.pt"))
        history = read_checkpoint(checkpoint_path(run / "checkpoints", steps[-1])).history
        for step, noted in zip(steps, history, strict=True):
            if noted["mid_macro_recall"] is None:
                continue
            target, test = probabilities_of(run, step, shown)
            config = read_bundle_info(run / "bundle").config
            kind = f"{name} ({config['data']['augmentation']}, freeze {config['model']['freeze']})"
            found.append(Checkpoint(f"{run.parent.name}/{run.name}", kind, {}, target))
            found[-1].entry.update(_entry(noted, found[-1], test))
            print(found[-1].run, step, f"{found[-1].entry['oracle_macro_recall']:.3f}", flush=True)
    return found


def _entry(
    noted: Mapping[str, Any], candidate: Checkpoint, test: tuple[np.ndarray, Images]
) -> dict[str, Any]:
    """What every evaluation notes, made from the predictions; ``test`` makes the oracle."""
    candidate.entry["temperature"] = noted["temperature"]
    target = tempered(candidate)
    names = np.array(CLASSES, dtype=object)
    predicted, images = test
    classes = images.classes
    figures = metrics_of(
        images.labels.tolist(),
        [classes[k] for k in predicted.argmax(1)],
        predicted.max(1),
        names.tolist(),
        bootstrap=0,
    )
    uniform = np.full(target.shape[1], 1 / target.shape[1])
    marginal = float(entropy(target.mean(0)))
    return {
        "step": noted["step"],
        "temperature": noted["temperature"],
        "mid_macro_recall": noted["mid_macro_recall"],
        "oracle_macro_recall": figures["macro_recall"],
        "infomax": marginal - float(entropy(target).mean()),
        "target_confidence": float(target.max(1).mean()),
        "effective_classes": float(np.exp(marginal)),
        "mid_effective_classes": float(target.shape[1]),
        "target_prior": estimate_prior(target, uniform, pseudocount=1.0),
    }


@dataclass(frozen=True)
class Images:
    """Images of one manifest, as far as the frozen stages bring them."""

    features: list[np.ndarray]
    """batches of what the frozen stages give of them, float16"""
    labels: np.ndarray
    instrument: str
    classes: tuple[str, ...]


def probabilities_of(
    run: Path, step: int, shown: dict[tuple[str, str], Images]
) -> tuple[np.ndarray, tuple[np.ndarray, Images]]:
    """(N, K) of the target's unlabelled images and of its test, by the network at ``step``."""
    bundle = read_bundle(run / "bundle")
    state = read_checkpoint(checkpoint_path(run / "checkpoints", step)).method
    prefix = "teacher.network." if "teacher.network.head.weight" in state else "network."
    bundle.network.load_state_dict(
        {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    )
    info = bundle.info.model_copy(update={"temperature": 1.0})
    predictor = Predictor(Bundle(info, bundle.network), engine="torch", device="cpu")
    depth = info.config["model"]["freeze"]
    bundle.network.freeze(depth if isinstance(depth, int) else None)
    size = info.preprocess.image_size
    if not bundle.network.divide(torch.zeros(2, info.preprocess.channels, size, size).byte()):
        raise SystemExit(f"{run}: {info.backbone} does not come apart behind its frozen stages")
    found = []
    for name in ("target", "test"):
        key = (frozen_key(bundle.network), str(run.parent / name))
        if key not in shown:
            shown[key] = _show(predictor, bundle.network, run.parent / f"{name}.csv")
        kept = run / f"{name}_{step}.npy"
        if not kept.exists():
            images = shown[key]
            parts = [predictor.of_features(part, images.instrument) for part in images.features]
            np.save(kept, np.concatenate(parts))
        found.append((np.load(kept), shown[key]))
    return found[0][0], found[1]


def _show(predictor: Predictor, network: PlanktonNetwork, path: Path) -> Images:
    manifest = read_manifest(path)
    instrument, root = manifest.instruments[0], Path(str(manifest.root))
    refs, features = manifest.column("image").tolist(), []
    for start in range(0, len(refs), 64):
        pixels = np.stack(
            [
                predictor.preprocess(open_image(ref, root), instrument)
                for ref in refs[start : start + 64]
            ]
        )  # (B, H, W, C)
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        features.append(network.frozen_features(images).half().numpy())
    labels = manifest.column("label").to_numpy(dtype=object)
    return Images(features, labels, instrument, predictor.classes)


def of_entry(key: str) -> Criterion:
    """A figure that every evaluation notes."""
    return lambda candidates: np.array([each.entry[key] for each in candidates])


def gated(criterion: Criterion) -> Criterion:
    """Among those within GATE of the best mid val, and not collapsed."""

    def scored(candidates: Sequence[Checkpoint]) -> np.ndarray:
        mid = of_entry("mid_macro_recall")(candidates)
        whole = np.array([not collapsed(each.entry) for each in candidates])
        kept = whole & (mid >= mid.max() - GATE)
        return np.where(kept if kept.any() else True, criterion(candidates), -np.inf)

    return scored


def infomax_of_prior(candidates: Sequence[Checkpoint]) -> np.ndarray:
    """-KL(mean prediction || estimated prior) - mean entropy, tempered."""
    scores = []
    for each in candidates:
        p = tempered(each)
        prior = np.array(each.entry["target_prior"])
        mean = p.mean(0)
        divergence = float((mean * np.log(mean / prior)).sum())
        scores.append(-divergence - float(-(p * np.log(p)).sum(1).mean()))
    return np.array(scores)


def tempered(candidate: Checkpoint) -> np.ndarray:
    """Probabilities at the temperature that mid's val asks for."""
    logits = np.log(np.clip(candidate.predicted, 1e-12, None)) / candidate.entry["temperature"]
    weights = np.exp(logits - logits.max(1, keepdims=True))
    found: np.ndarray = np.clip(weights / weights.sum(1, keepdims=True), 1e-12, None)
    return found


def agreement(candidates: Sequence[Checkpoint]) -> np.ndarray:
    """EnsV: share of the target that each places as the mean of all does."""
    together = np.mean([tempered(each) for each in candidates], axis=0).argmax(1)
    return np.array([(each.predicted.argmax(1) == together).mean() for each in candidates])


CRITERIA: Mapping[str, Criterion] = {
    "mid val macro recall": of_entry("mid_macro_recall"),
    "confidence on the target": of_entry("target_confidence"),
    "InfoMax": of_entry("infomax"),
    "InfoMax, gate": gated(of_entry("infomax")),
    "InfoMax with estimated prior": infomax_of_prior,
    "InfoMax with estimated prior, gate": gated(infomax_of_prior),
    "EnsV": agreement,
    "EnsV, gate (compare's default)": gated(agreement),
}


def judge(candidates: Sequence[Checkpoint]) -> dict[str, dict[str, float]]:
    """Criterion -> rank correlation, regret of its pick among all and over draws of runs."""
    oracle = of_entry("oracle_macro_recall")(candidates)
    runs = sorted({each.run for each in candidates})
    draw = np.random.default_rng(0)
    draws = [
        set(draw.choice(runs, max(2, round(SHARE * len(runs))), replace=False))
        for _ in range(DRAWS)
    ]
    found = {}
    for name, criterion in CRITERIA.items():
        scores = criterion(candidates)
        kept = np.isfinite(scores)
        regrets = []
        for drawn in draws:
            some = [each for each in candidates if each.run in drawn]
            theirs = of_entry("oracle_macro_recall")(some)
            regrets.append(float(theirs.max() - theirs[int(np.argmax(criterion(some)))]))
        found[name] = {
            "rank_correlation": float(spearmanr(scores[kept], oracle[kept]).statistic),
            "regret": float(oracle.max() - oracle[int(np.argmax(scores))]),
            "mean_regret": float(np.mean(regrets)),
            "worst_regret": float(np.max(regrets)),
        }
    random = [oracle.max() - oracle.mean()]
    found["(a checkpoint at random)"] = {
        "rank_correlation": 0.0,
        "regret": float(random[0]),
        "mean_regret": float(random[0]),
        "worst_regret": float(oracle.max() - oracle.min()),
    }
    return found


def main() -> None:
    """Judge and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--forward", type=Path, nargs="+", required=True, help="--work of ISIIS to PWSPC"
    )
    parser.add_argument(
        "--reverse", type=Path, nargs="*", default=[], help="--work of PWSPC to ISIIS"
    )
    options = parser.parse_args()
    tasks = {"ISIIS to PWSPC": options.forward, "PWSPC to ISIIS": options.reverse}
    document: dict[str, Any] = {**provenance(), "draws": DRAWS, "tasks": {}}
    lines = [
        "# Choosing without target labels",
        "",
        "Every checkpoint of every run is a candidate. Regret: macro recall on the target's `test` "
        "of the best candidate, less that of the one picked; among all candidates, and the mean "
        f"and the worst over {DRAWS} draws of half of the runs. Nothing was tuned on them.",
    ]
    for title, folders in tasks.items():
        candidates = read_runs(folders)
        if not candidates:
            continue
        judged = judge(candidates)
        oracle = of_entry("oracle_macro_recall")(candidates)
        document["tasks"][title] = {
            "criteria": judged,
            "candidates": [
                {"method": each.method, "step": each.entry["step"], **_figures(each.entry)}
                for each in candidates
            ],
        }
        methods = pd.Series([each.method for each in candidates]).value_counts().sort_index()
        counted = ", ".join(f"{name} {count}" for name, count in methods.items())
        lines += [
            "",
            f"## {title}",
            "",
            f"{len(candidates)} checkpoints ({counted}); the oracle's macro recall is "
            f"{oracle.min():.3f} to {oracle.max():.3f}.",
            "",
            "| criterion | rank correlation | regret | mean over draws | worst |",
            "|---|---|---|---|---|",
        ]
        for name, figures in sorted(judged.items(), key=lambda item: item[1]["mean_regret"]):
            cells = " | ".join(f"{value:.3f}" for value in figures.values())
            lines.append(f"| {name} | {cells} |")
    lines += [
        "",
        footer(document),
    ]
    (RESULTS / "selection.json").write_text(json.dumps(document, indent=1) + "\n")
    text = "\n".join(lines)
    (RESULTS / "selection.md").write_text(text + "\n")
    print(text)


def _figures(entry: Mapping[str, Any]) -> dict[str, float]:
    keys = ("mid_macro_recall", "infomax", "target_confidence", "oracle_macro_recall")
    return {key: entry[key] for key in keys}


if __name__ == "__main__":
    main()
