"""How fast IFCB bins become manifest rows and pixels.

    python -m benchmarks.ifcb [--bins 20] [--triggers 5000] [--rounds 5]

On drawn bins of both versions on the local disk, in one process and in turn, so that a drifting
machine slows all alike; medians of the rounds. *Plain numpy* is what somebody writes who trusts the
files: ``np.loadtxt`` of four columns, ``np.fromfile``, and a copy of each image. Writes
``benchmarks/results/ifcb.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.provenance import footer, provenance
from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.images.refs import open_image
from plankton_da.images.rois import read_rois
from plankton_da.manifests.ingest import build_manifest
from plankton_da.manifests.table import read_manifest

RESULTS = Path(__file__).parent / "results"
LEAST_ROWS = 20_000  # ROI/s into manifest rows
LEAST_SHARE = 0.5  # of plain numpy's rate into pixels


def write_bins(folder: Path, bins: int, triggers: int) -> list[Path]:
    """Bins of both versions in turn; every fifth trigger has no image."""
    pictures = [
        None if number % 5 == 0 else picture
        for number, picture in enumerate(draw_pictures(triggers, seed=0))
    ]
    names = [
        f"D20160714T{n:06d}_IFCB101" if n % 2 else f"IFCB3_2008_013_{n:06d}" for n in range(bins)
    ]
    return [write_bin(folder, name, pictures) for name in names]


def plain_numpy(roi: Path) -> int:
    """Every image of a bin, by trusting its files; returns how many pixels."""
    old = roi.name.startswith("IFCB")
    columns = (11, 12, 13) if old else (15, 16, 17)
    rows = np.loadtxt(roi.with_suffix(".adc"), int, delimiter=",", usecols=columns)
    raw = np.fromfile(roi, np.uint8)
    pixels = 0
    for width, height, start in rows.tolist():
        if width and height:
            pixels += raw[start : start + width * height].reshape(height, width).copy().size
    return pixels


def measure(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each step in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bins", type=int, default=20)
    parser.add_argument("--triggers", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bins = write_bins(folder / "bins", options.bins, options.triggers)
        out = folder / "m.csv"
        build_manifest("ifcb", [folder / "bins"], "IFCB", out)
        refs = read_manifest(out).table["image"].tolist()
        expected = sum(map(plain_numpy, bins))
        assert expected == sum(pixels.size for roi in bins for _, pixels in read_rois(roi))
        steps: dict[str, Callable[[], object]] = {
            "manifest build ifcb": lambda: build_manifest(
                "ifcb", [folder / "bins"], "IFCB", out, overwrite=True
            ),
            "pixels, plain numpy": lambda: [plain_numpy(roi) for roi in bins],
            "pixels, read_rois": lambda: [sum(1 for _ in read_rois(roi)) for roi in bins],
            "pixels, open_image by ref": lambda: [
                np.asarray(open_image(ref, folder)).size for ref in refs
            ],
        }
        seconds = measure(steps, options.rounds)
    rates = {name: len(refs) / statistics.median(values) for name, values in seconds.items()}
    shares = {
        name: rates[name] / rates["pixels, plain numpy"]
        for name in ("pixels, read_rois", "pixels, open_image by ref")
    }
    document: dict[str, Any] = {
        **provenance(),
        "options": vars(options),
        "images": len(refs),
        "images_per_second": rates,
        "share_of_plain_numpy": shares,
        "seconds": seconds,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ifcb.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# IFCB bins",
        "",
        f"{len(refs):,} drawn images in {options.bins} bins of both versions, on a local disk; "
        f"medians of {options.rounds} rounds in one process.",
        "",
        "| step | images/s | of plain numpy |",
        "|---|---|---|",
        *(
            f"| {name} | {rate:,.0f} | {f'{shares[name]:.2f}' if name in shares else ''} |"
            for name, rate in rates.items()
        ),
        "",
        f"Wanted: {LEAST_ROWS:,} images/s into manifest rows "
        f"({_verdict(rates['manifest build ifcb'] >= LEAST_ROWS)}); {LEAST_SHARE} of plain numpy "
        f"into pixels ({_verdict(shares['pixels, read_rois'] >= LEAST_SHARE)} by `read_rois`).",
        "`open_image` makes a Pillow image of each ref, in any order, and looks whether the bin "
        "has changed.",
        "",
        footer(document),
    ]
    (RESULTS / "ifcb.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _verdict(met: bool) -> str:
    return "met" if met else "not met"


if __name__ == "__main__":
    main()
