"""MNIST (mid, labelled) to MNIST-M (target, unlabelled): the yardstick of the field.

    python -m benchmarks.digits --data DIR --methods source_only,dann --seeds 0,1,2

DIR holds ``mnist.npz`` and sheets of MNIST-M tiles (``mnistm_train_NNN.jpg``,
``mnistm_test_NNN.png``: 40 columns of 32 x 32 pixels, row by row) with ``mnistm_labels.npz``. The
network is the small one of Ganin et al. (JMLR 2016, figure 4a), given to the library as a torch
module. MNIST-M ``train`` goes into training without its labels; ``test`` is read after a run is
over, to report. Finished runs are kept in --work, and unfinished ones continue: the same command
goes on where it stopped, and more seeds or methods join the tables. ``--to mnist`` is the other
direction. Writes ``benchmarks/results/digits.json`` and ``.md`` after each run.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.provenance import provenance
from plankton_da.adaptation.training import train
from plankton_da.config import Config
from plankton_da.config_reading import parse_config
from plankton_da.evaluation.evaluate import evaluate
from plankton_da.manifests.table import read_manifest, write_manifest
from plankton_da.networks.bundle import read_bundle
from plankton_da.prediction.predictor import Predictor

RESULTS = Path(__file__).parent / "results"
COLUMNS, ROWS = 40, 50  # tiles of a sheet
SIZE = 28  # pixels
FILES = {"mid", "target"}
TRAIN, VAL = 20_000, 2_000
"""images of each domain that are learnt from; labelled ones that the checkpoint is chosen on"""
VARIANTS: Mapping[str, tuple[str, bool, Mapping[str, Mapping[str, Any]]]] = {
    "source_only": ("source_only", False, {}),
    "dann": ("dann", False, {"method": {"hidden_dim": 100}}),
    "source_only_bn": ("source_only", True, {}),
    "dann_bn": ("dann", True, {"method": {"hidden_dim": 100}}),
    "cdan_bn": ("cdan", True, {"model": {"bottleneck_dim": 256}}),
    "mcc_bn": ("mcc", True, {"model": {"bottleneck_dim": 256}}),
    "mic_cdan_bn": (
        "mic",
        True,
        {
            "model": {"bottleneck_dim": 256},
            "method": {"adversarial_weight": 1.0, "masked_share": 0.4},
        },
    ),
}
"""name in the table -> method, whether the network has BatchNorm (per domain), what differs"""


class PaperNetwork(nn.Module):
    """The feature extractor of Ganin et al. for MNIST, and the first layer behind it.

    The paper's label predictor has two hidden layers of 100 after the 768 features; here one of
    them belongs to the features and the head is linear. ``batch_norm`` is not the paper's.
    """

    num_features = 100

    def __init__(self, seed: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)

        def block(inner: int, outer: int) -> list[nn.Module]:
            norm = [nn.BatchNorm2d(outer)] if batch_norm else []
            return [nn.Conv2d(inner, outer, 5), *norm, nn.ReLU(), nn.MaxPool2d(2)]

        self.layers = nn.Sequential(
            *block(3, 32), *block(32, 48), nn.Flatten(), nn.Linear(768, 100), nn.ReLU()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, 28, 28) to features (N, 100)."""
        features: Tensor = self.layers(images)
        return features


def write_manifests(data: Path, work: Path) -> None:
    """``<domain>_{mid,target,test}.csv`` in ``work``; all refs are boxes in sheets."""
    work.mkdir(parents=True, exist_ok=True)
    mnist, labels = np.load(data / "mnist.npz"), np.load(data / "mnistm_labels.npz")
    for part, suffix in (("train", "jpg"), ("test", "png")):
        paths = _write_sheets(mnist[f"x_{part}"], work, part)
        digits = {
            "MNIST": _table("MNIST", part, paths, mnist[f"y_{part}"], SIZE),
            "MNISTM": _table(
                "MNISTM", part, sorted(data.glob(f"mnistm_{part}_*.{suffix}")), labels[part], 32
            ),
        }
        for name, table in digits.items():
            if part == "test":
                _write(table.assign(split="test"), work / f"{name}_test.csv")
                continue
            rows = np.sort(np.random.default_rng(0).permutation(len(table))[: TRAIN + VAL])
            chosen = table.iloc[rows]
            is_val = np.zeros(len(rows), dtype=bool)
            is_val[np.random.default_rng(1).permutation(len(rows))[:VAL]] = True
            _write(chosen.assign(split=np.where(is_val, "val", "train")), work / f"{name}_mid.csv")
            _write(chosen[~is_val].drop(columns="label"), work / f"{name}_target.csv")


def _write_sheets(digits: NDArray[np.uint8], work: Path, part: str) -> list[Path]:
    paths = []
    for first in range(0, len(digits), ROWS * COLUMNS):
        path = work / f"mnist_{part}_{first // (ROWS * COLUMNS):03d}.png"
        tiles = digits[first : first + ROWS * COLUMNS]  # (N, 28, 28)
        padded = np.zeros((ROWS * COLUMNS, SIZE, SIZE), dtype=np.uint8)
        padded[: len(tiles)] = tiles
        sheet = padded.reshape(ROWS, COLUMNS, SIZE, SIZE).swapaxes(1, 2)
        if not path.exists():
            Image.fromarray(sheet.reshape(ROWS * SIZE, COLUMNS * SIZE)).save(path)
        paths.append(path)
    return paths


def _table(
    instrument: str, part: str, sheets: Sequence[Path], labels: NDArray[np.uint8], tile: int
) -> pd.DataFrame:
    """Boxes of 28 pixels: of MNIST-M the middle, where its digits are as large as MNIST's."""
    border = (tile - SIZE) // 2
    rows = []
    for index, label in enumerate(labels.tolist()):
        sheet, place = divmod(index, ROWS * COLUMNS)
        row, column = divmod(place, COLUMNS)
        box = f"{column * tile + border},{row * tile + border},{SIZE},{SIZE}"
        rows.append((f"{part}_{index:05d}", f"{sheets[sheet].resolve()}#{box}", str(label)))
    table = pd.DataFrame(rows, columns=["object_id", "image", "label"])
    table.insert(2, "instrument", instrument)
    return table


def _write(table: pd.DataFrame, path: Path) -> None:
    if not path.exists():
        write_manifest(table, path)


def config_of(name: str, seed: int, work: Path, mid: str, target: str, steps: int) -> Config:
    """The settings that all runs share, and what ``name`` says."""
    method, batch_norm, own = VARIANTS[name]
    raw: dict[str, Any] = {
        "seed": seed,
        "output_dir": str(work / f"{mid}-{name}-{seed}-{steps}"),
        "data": {
            "mid": str(work / f"{mid}_mid.csv"),
            "target": str(work / f"{target}_target.csv"),
            "image_size": SIZE,
            "batch_size_per_instrument": 64,
            "sampler": "uniform",
            "augmentation": "none",  # flips and turns make other digits
            "workers": 0,
            "preprocess": {
                "color": "rgb",
                # MNIST-M has digits of both polarities: nothing is inverted
                "instruments": {each: {"polarity": "dark_on_light"} for each in (mid, target)},
            },
        },
        "model": {
            "backbone": "ganin_mnist_batch_norm" if batch_norm else "ganin_mnist",
            "pretrained": "none",
            "bottleneck_dim": 0,
            "label_smoothing": 0.0,
            "batch_norm": "per_domain",
        },
        "method": {"name": method},
        "optimizer": {"name": "sgd", "lr": 0.03, "backbone_lr_multiplier": 1.0},
        "training": {"steps": steps, "evaluate_every": steps // 4, "yardstick": False},
        "tracking": {"backend": "none"},
    }
    for section, values in own.items():
        raw[section] = {**raw[section], **values}
    return parse_config(raw)


def run_one(name: str, seed: int, work: Path, mid: str, target: str, steps: int) -> dict[str, Any]:
    """Train, or take the finished run; then score its bundle on the target's test images."""
    config = config_of(name, seed, work, mid, target, steps)
    folder = Path(config.output_dir)
    kept = work / f"{folder.name}.json"
    if not kept.exists():
        network = PaperNetwork(seed, batch_norm=VARIANTS[name][1])
        began, cpu = time.perf_counter(), time.process_time()
        result = train(config, backbone=network, resume=True)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        predictor = Predictor(read_bundle(Path(result.bundle), backbone=network), batch_size=256)
        scores = evaluate(predictor, [read_manifest(work / f"{target}_test.csv")], "test")
        history = json.loads((folder / "history.json").read_text())
        document = {
            "mid": mid,
            "method": name,
            "seed": seed,
            "steps": steps,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "threads": torch.get_num_threads(),
            "selected_step": result.selected_step,
            "selected_by": result.selected_by,
            "diagnosis": result.diagnosis,
            "mid_val_accuracy": result.metrics[f"val/{mid}/accuracy"],
            "target_test": scores["instruments"][target],
            "mid_val_macro_recalls": {e["step"]: e["mid_macro_recall"] for e in history},
            "config": config.model_dump(mode="json", exclude={"output_dir": True, "data": FILES}),
            **provenance(),
        }
        temporary = kept.with_suffix(".tmp")
        temporary.write_text(json.dumps(document, indent=1) + "\n")
        os.replace(temporary, kept)
    loaded: dict[str, Any] = json.loads(kept.read_text())
    return loaded


def table_of(runs: Sequence[Mapping[str, Any]]) -> str:
    """The markdown table: one row per direction, method and number of steps."""
    lines = [
        "| from | method | steps | target test accuracy (mean ± sd) | of each seed "
        "| mid val accuracy | CPU seconds a run |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["mid"], run["method"], run["steps"]), []).append(run)
    for (mid, method, steps), own in groups.items():
        accuracies = np.array([run["target_test"]["accuracy"] for run in own])
        spread = f" ± {accuracies.std(ddof=1):.3f}" if len(own) > 1 else " (one seed)"
        each = ", ".join(f"{run['seed']}: {run['target_test']['accuracy']:.3f}" for run in own)
        lines.append(
            f"| {mid} | {method} | {steps} | {accuracies.mean():.3f}{spread} | {each} "
            f"| {np.mean([run['mid_val_accuracy'] for run in own]):.3f} "
            f"| {np.mean([run['cpu_seconds'] for run in own]):.0f} |"
        )
    return "\n".join(lines)


def write_results(work: Path, name: str) -> str:
    """All finished runs of ``work`` as JSON and markdown; gives the markdown."""
    runs = [json.loads(path.read_text()) for path in sorted(work.glob("*-*-*-*.json"))]
    order = [*VARIANTS]
    runs.sort(key=lambda run: (run["mid"], order.index(run["method"]), run["steps"], run["seed"]))
    (RESULTS / f"{name}.json").write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    last = runs[-1]
    text = "\n".join(
        [
            "# MNIST and MNIST-M",
            "",
            f"{TRAIN:,} training images of each domain, {VAL:,} labelled ones of mid to choose the "
            "checkpoint (label-free default), all test images of the target to report. The small "
            "network of Ganin et al. (JMLR 2016) as a torch module; in rows with `_bn` its "
            "convolutions have BatchNorm, with statistics per domain. Published, mostly with the "
            "epoch chosen by target labels: source-only 0.52, DANN 0.77, DIRT-T 0.987, AdaMatch "
            "0.992. Wanted here, as means of three seeds: dann at least 0.77, the best method at "
            "least 0.97; a row that is below, or is not there, is a miss.",
            "",
            table_of(runs),
            "",
            f"{last['machine']}; {last['threads']} thread(s); "
            + ", ".join(sorted({run["date"] for run in runs}))
            + "; "
            + ", ".join(f"{package} {number}" for package, number in last["versions"].items())
            + "; commits "
            + ", ".join(sorted({str(run["commit"]) for run in runs}))
            + ".",
        ]
    )
    (RESULTS / f"{name}.md").write_text(text + "\n")
    return text


def main() -> None:
    """Run, or continue, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist.npz")
    parser.add_argument("--methods", default="source_only,dann")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--to", choices=["mnistm", "mnist"], default="mnistm")
    parser.add_argument("--work", type=Path, default=Path("runs/digits"))
    parser.add_argument("--name", default="digits", help="name of the result files")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    mid, target = ("MNIST", "MNISTM") if options.to == "mnistm" else ("MNISTM", "MNIST")
    write_manifests(options.data, options.work)
    for seed in map(int, options.seeds.split(",")):
        for method in options.methods.split(","):
            run_one(method, seed, options.work, mid, target, options.steps)
            text = write_results(options.work, options.name)
    print(text)


if __name__ == "__main__":
    main()
