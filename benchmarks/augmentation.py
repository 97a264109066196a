"""What each part of the augmentation gives on a new camera: left out one at a time.

    python -m benchmarks.augmentation --data DIR --work runs/isiis_pwspc

ISIIS to PWSPC: a logistic regression on frozen features of two augmented copies of each ISIIS
``train`` image (much as ``train --quick``), scored on the labels of PWSPC ``train``, where the
preset was chosen; PWSPC ``test`` is not read. --work holds the finished run ``source_only-0`` of
``benchmarks.isiis_pwspc``, whose preprocessing is used.
Writes ``benchmarks/results/augmentation.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.isiis_pwspc import CLASSES, RESULTS
from benchmarks.provenance import footer, provenance
from plankton_da.evaluation.metrics import score
from plankton_da.images.augment import Augment, build_augmentation
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import open_image
from plankton_da.manifests.table import read_manifest
from plankton_da.networks.backbone import create_backbone, resolve_weights
from plankton_da.networks.bundle import read_bundle_info

COPIES = 2
VIEWS = 4
_BATCH = 64
_STRENGTH = 3e-4  # C of the regression on standardised features, chosen on mid's val

Pixels = NDArray[np.uint8]


def read(manifest: Path, split: str, preprocess: Preprocess) -> tuple[Pixels, NDArray[np.str_]]:
    """Pixels (N, H, W, C) and labels (N,) of a split."""
    found = read_manifest(manifest)
    table = found.rows(split)
    root = Path(str(found.root))
    pixels = [
        preprocess(open_image(image, root), instrument)
        for image, instrument in zip(table["image"], table["instrument"], strict=True)
    ]
    return np.stack(pixels), table["label"].to_numpy(dtype=str)


def features_by(backbone: torch.nn.Module, preprocess: Preprocess) -> Callable[[Pixels], Any]:
    """Pixels (N, H, W, C) -> pooled features (N, num_features)."""
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (preprocess.mean, preprocess.std))

    @torch.inference_mode()
    def features(pixels: Pixels) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(pixels), _BATCH):
            some = np.ascontiguousarray(pixels[start : start + _BATCH].transpose(0, 3, 1, 2))
            images = (torch.from_numpy(some).float() / 255 - mean) / std
            shown = images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            parts.append(backbone(shown).numpy())
        return np.concatenate(parts)

    return features


def variants(image_size: int) -> dict[str, Augment]:
    """Name -> augmentation: the presets, and ``strong`` without one of its parts."""

    def parts() -> list[Any]:
        return list(build_augmentation("strong", image_size).transforms)

    names = [type(part).__name__ for part in parts()]
    flips = names.index("FreePose")  # what comes before are flips and quarter turns
    found = {
        name: build_augmentation(name, image_size) for name in ("none", "instrument", "strong")
    }
    found["strong without flips and quarter turns"] = Augment(parts()[flips:])
    for place in range(flips, len(names)):
        kept = [part for number, part in enumerate(parts()) if number != place]
        found[f"strong without {names[place]}"] = Augment(kept)
    return found


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with all.csv")
    parser.add_argument("--work", type=Path, default=Path("runs/isiis_pwspc"))
    options = parser.parse_args()
    info = read_bundle_info(options.work / "source_only-0" / "bundle")
    preprocess = info.preprocess
    size = preprocess.image_size
    mid, mid_labels = read(options.work / "mid.csv", "train", preprocess)
    val, val_labels = read(options.work / "mid.csv", "val", preprocess)
    target, target_labels = read(options.work / "oracle.csv", "train", preprocess)
    backbone = create_backbone(info.backbone, resolve_weights(info.backbone, "auto"), size).eval()
    features = features_by(backbone, preprocess)
    of_val = features(val)
    turned = [features(np.ascontiguousarray(np.rot90(target, k, (1, 2)))) for k in range(VIEWS)]
    rows = []
    for name, augment in variants(size).items():
        copies = range(1 if name == "none" else COPIES)
        learnt = np.concatenate(
            [
                features(np.stack([augment(im, (copy, n)) for n, im in enumerate(mid)]))
                for copy in copies
            ]
        )
        scaler = StandardScaler().fit(learnt)
        model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=200)
        model.fit(scaler.transform(learnt), np.tile(mid_labels, len(copies)))
        probabilities = np.mean([model.predict_proba(scaler.transform(f)) for f in turned], axis=0)
        found = score(
            target_labels.tolist(),
            model.classes_[probabilities.argmax(1)].tolist(),
            probabilities.max(1),
            CLASSES,
        )
        of_mid = model.predict(scaler.transform(of_val)).tolist()
        on_mid = score(val_labels.tolist(), of_mid, np.ones(len(val)), CLASSES, bootstrap=0)
        row = {
            "augmentation": name,
            "target_macro_recall": found["macro_recall"],
            "interval": found["macro_recall_ci"],
            "target_accuracy": found["accuracy"],
            "mid_macro_recall": on_mid["macro_recall"],
        }
        rows.append(row)
        print(row, flush=True)
    document = {**provenance(), "copies": COPIES, "views": VIEWS, "rows": rows}
    (RESULTS / "augmentation.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# What each part of the augmentation gives",
        "",
        f"ISIIS to PWSPC, {size} px: logistic regression on frozen features of {COPIES} augmented "
        f"copies of each ISIIS `train` image; PWSPC `train` by its labels, mean of {VIEWS} turned "
        "views. One draw of copies; intervals are of the images; differences of 0.02 are noise.",
        "",
        "| augmentation of mid | PWSPC `train` macro recall | 95% | accuracy | ISIIS val |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["interval"]
        lines.append(
            f"| {row['augmentation']} | {row['target_macro_recall']:.3f} | {low:.2f} to {high:.2f} "
            f"| {row['target_accuracy']:.3f} | {row['mid_macro_recall']:.3f} |"
        )
    lines += [
        "",
        footer(document),
    ]
    text = "\n".join(lines)
    (RESULTS / "augmentation.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
