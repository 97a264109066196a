"""What ``classify`` needs beside the model: memory and start at 20,000 and 200,000 files (Linux).

The model costs nothing (it answers with constants), so that what is measured is the rest: walking,
decoding, bookkeeping, writing. The images are drawn, 60 to 120 px JPEGs in one folder; the files
are hard links to 500 different ones, because a folder's size is asked for, not the disk's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.provenance import footer, provenance

RESULTS = Path(__file__).parent / "results"
SIZES = (20_000, 200_000)
CLASSES = ("copepod", "medusa", "detritus")
DIFFERENT = 500


class FreePredictor:
    """Has what ``classify`` asks of a predictor; the first class always wins."""

    engine, device, batch_size, streams, classes = "free", "cpu", 32, 1, CLASSES

    def __init__(self, bundle: Path) -> None:
        from plankton_da.networks.bundle import read_bundle_info

        self.preprocess = read_bundle_info(bundle).preprocess

    def check_instrument(self, instrument: str) -> None:
        """Every one is fine."""

    def probabilities(self, pixels: NDArray[np.uint8], instrument: str) -> NDArray[np.float32]:
        """float32 (N, 3)."""
        return np.tile(np.array([0.8, 0.15, 0.05], np.float32), (len(pixels), 1))


def write_bundle_of(folder: Path) -> None:
    """A bundle whose network nobody asks."""
    from plankton_da.config import ModelConfig
    from plankton_da.images.preprocess import InstrumentLook, Preprocess
    from plankton_da.networks.backbone import Weights
    from plankton_da.networks.bundle import Bundle, BundleInfo, write_bundle
    from plankton_da.networks.classifier import build_network

    preprocess = Preprocess(
        image_size=128, instruments={"A": InstrumentLook(), "B": InstrumentLook()}
    )
    info = BundleInfo(
        backbone="test_resnet",
        bottleneck_dim=16,
        batch_norm="per_domain",
        classes=CLASSES,
        preprocess=preprocess,
        preprocess_hash=preprocess.hash(),
        method="source_only",
        mid_instruments=("A",),
        target_instruments=("B",),
    )
    network = build_network(
        ModelConfig(backbone="test_resnet", pretrained="none", bottleneck_dim=16),
        len(CLASSES),
        preprocess=preprocess,
        domains=info.domains,
        batch_norm=info.batch_norm,
        weights=Weights("none"),
    )
    write_bundle(Bundle(info, network), folder)


def draw_folder(folder: Path, count: int) -> None:
    """So many JPEGs: a dark blob on a light, noisy ground."""
    from PIL import Image

    noise = np.random.default_rng(0)
    (folder / "in").mkdir(parents=True)
    (folder / "drawn").mkdir()
    for n in range(DIFFERENT):
        height, width = noise.integers(60, 121, 2)
        pixels = noise.integers(200, 230, (height, width)).astype(np.uint8)
        pixels[15 : height - 20, 20 : width - 15] -= 120
        Image.fromarray(pixels).save(folder / "drawn" / f"{n}.jpg", quality=90)
    for n in range(count):
        os.link(folder / "drawn" / f"{n % DIFFERENT}.jpg", folder / "in" / f"{n:07}.jpg")


def run_once(bundle: Path, folder: Path) -> dict[str, Any]:
    """Classify in this process and say what it took."""
    started = time.monotonic()
    from plankton_da.prediction.folder import classify

    out = folder / "P.csv"
    first: list[float] = []

    def watch() -> None:
        while not first:
            if next(out.with_name("P.csv.parts").glob("part-*"), None) is not None:
                first.append(time.monotonic() - started)
            time.sleep(0.02)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    summary = classify(
        bundle,
        [folder / "in"],
        out,
        open_predictor=lambda: FreePredictor(bundle),  # type: ignore[arg-type, return-value]
    )
    watching.join()
    # not getrusage's, which begins with that of the process that started this one
    status = Path("/proc/self/status").read_text()
    kib = int(status.partition("VmHWM:")[2].split()[0])
    return {
        "images": summary.images,
        "classified": summary.classified,
        "failed": summary.failed,
        "peak_rss_mib": round(kib / 1024, 1),
        "seconds_to_first_rows_on_disk": round(first[0], 2),
        "seconds": round(time.monotonic() - started, 1),
        "images_per_second": round(summary.images_per_second),
    }


def main() -> None:
    """Measure, write ``results/classify_memory.json`` and ``.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run_once(*options.run)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bundle_of(folder / "bundle")
        for count in SIZES:
            place = folder / str(count)
            draw_folder(place, count)
            for what in ("first run", "the same again"):
                command = [sys.executable, "-m", "benchmarks.classify_memory"]
                command += ["--run", str(folder / "bundle"), str(place)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append({"run": what, **json.loads(done.stdout)})
                print(rows[-1], file=sys.stderr)
    growth = rows[2]["peak_rss_mib"] / rows[0]["peak_rss_mib"]
    document = {**provenance(), "load_average": os.getloadavg(), "runs": rows, "growth": growth}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "classify_memory.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# classify: memory and start",
        "",
        "A model that costs nothing, JPEGs of 60 to 120 px in one folder, preprocessed to 128 px. ",
        "Memory is that of the main process; each decoding process has about 90 MiB beside it,",
        "whatever the number of images. The first rows are on disk when the first part is.",
        "",
        "| run | images | peak RSS, MiB | first rows, s | all, s | images/s |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['run']} | {row['images']:,} | {row['peak_rss_mib']} | "
            f"{row['seconds_to_first_rows_on_disk']} | {row['seconds']} | "
            f"{row['images_per_second']:,} |"
            for row in rows
        ),
        "",
        f"Peak RSS at {SIZES[1]:,} images: {growth:.3f} of that at {SIZES[0]:,}.",
        "",
        footer(document),
    ]
    (RESULTS / "classify_memory.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
