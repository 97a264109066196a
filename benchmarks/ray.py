"""What Ray costs on one machine: the same images with the same cores, with it and without.

The images are drawn, 60 to 120 px JPEGs in one folder (hard links to 500 different ones); the
network is tf_efficientnet_lite0 at 128 px with random weights. Rounds alternate, each a process of
its own with an --out of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.classify_memory import draw_folder
from benchmarks.provenance import footer, provenance

RESULTS = Path(__file__).parent / "results"
BACKENDS = ("local", "ray")
CLASSES = tuple(f"taxon_{n}" for n in range(10))
WANTED = 0.85


def write_bundle_of(folder: Path) -> None:
    """A bundle of usual size; what it says is chance."""
    import torch

    from plankton_da.config import ModelConfig
    from plankton_da.images.preprocess import InstrumentLook, Preprocess
    from plankton_da.networks.backbone import Weights
    from plankton_da.networks.bundle import Bundle, BundleInfo, write_bundle
    from plankton_da.networks.classifier import build_network

    torch.manual_seed(0)
    look = InstrumentLook()
    preprocess = Preprocess(image_size=128, instruments={"A": look, "B": look})
    info = BundleInfo(
        backbone="tf_efficientnet_lite0",
        bottleneck_dim=256,
        batch_norm="frozen",
        classes=CLASSES,
        preprocess=preprocess,
        preprocess_hash=preprocess.hash(),
        method="source_only",
        mid_instruments=("A",),
        target_instruments=("B",),
    )
    network = build_network(
        ModelConfig(backbone=info.backbone, pretrained="none", bottleneck_dim=256),
        len(CLASSES),
        preprocess=preprocess,
        domains=info.domains,
        batch_norm=info.batch_norm,
        weights=Weights("none"),
    )
    write_bundle(Bundle(info, network), folder)


def run_once(bundle: Path, folder: Path, backend: str, number: int) -> dict[str, Any]:
    """One command, as somebody types it."""
    out = folder / f"{backend}{number}.csv"
    command = [sys.executable, "-m", "plankton_da", "classify", str(bundle), str(folder / "in")]
    command += ["--out", str(out), "--engine", "onnx", "--backend", backend, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout)
    parts = list(out.with_name(f"{out.name}.parts").glob("part-*"))
    return {
        "backend": backend,
        "images": told["images"],
        "images_per_second": told["images_per_second"],
        "seconds_of_all": told["seconds"],
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "bytes_a_row_csv": round(out.stat().st_size / told["images"], 1),
        "bytes_a_row_parts": round(sum(p.stat().st_size for p in parts) / told["images"], 1),
        "parts": len(parts),
    }


def main() -> None:
    """Measure and write ``results/ray.json`` and ``ray.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)  # no other machines
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bundle_of(folder / "bundle")
        draw_folder(folder, options.images)
        for number in range(options.rounds):
            for backend in BACKENDS:
                rows.append(run_once(folder / "bundle", folder, backend, number))
                print(rows[-1], file=sys.stderr)
    medians = {
        backend: {
            key: statistics.median(row[key] for row in rows if row["backend"] == backend)
            for key in ("images_per_second", "seconds_of_all")
        }
        for backend in BACKENDS
    }
    ratio = medians["ray"]["images_per_second"] / medians["local"]["images_per_second"]
    same = len({row["sha256"] for row in rows}) == 1
    load = os.getloadavg()
    document = {
        **provenance(),
        "load_average": load,
        "runs": rows,
        "medians": medians,
        "ratio": ratio,
        "same_bytes": same,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ray.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# classify on Ray, on one machine",
        "",
        f"{options.images:,} drawn JPEGs of 60 to 120 px, tf_efficientnet_lite0 at 128 px, engine",
        f"onnx, the same cores; medians of {options.rounds} alternating runs.",
        "",
        "| backend | images/s | seconds of the whole command |",
        "|---|---|---|",
        *(
            f"| {backend} | {each['images_per_second']:,.0f} | {each['seconds_of_all']:.1f} |"
            for backend, each in medians.items()
        ),
        "",
        f"Ray: {ratio:.2f} of the local rate, once its workers are up (wanted: {WANTED}). "
        f"The results are {'the same to the byte' if same else 'NOT the same'}.",
        f"A row takes {rows[0]['bytes_a_row_csv']} bytes in the CSV and "
        f"{rows[0]['bytes_a_row_parts']} in the parts.",
        "",
        footer(document),
    ]
    (RESULTS / "ray.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
