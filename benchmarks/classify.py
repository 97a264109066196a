"""How many images a second ``classify`` makes, beside a plain script and beside what is possible.

    python -m benchmarks.classify --data DIR --bundle BUNDLE [--images 20000] [--rounds 3]

One run, one machine, one folder: real images of two cameras, copied under new names until there are
enough. Each figure is the median of the rounds, and the rounds of all take turns, so that a
drifting machine slows all alike. Whole processes are timed where a user would start one (the plain
script and ``classify``), from their start to their end.

- *ours*: ``plankton-da classify``, engine ``auto`` as it comes, and each engine by name.
- *plain script*: torch DataLoader, timm, softmax, batches of 32, with its best number of workers.
- *limit*: the model alone on batches in memory; reading, decoding and resizing alone; and what both
  would make if they shared the cores without any loss: 1 / (1 / model + 1 / decoding).
- *overhead*: ``classify`` with a model that costs nothing, on JPEGs of 100 px.

Writes ``results/classify.json`` and ``.md``. BUNDLE: of efficientnet_lite0 at 128 px, with an
accepted 8-bit model (``plankton-da quantize``); without one, its rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.classify_memory import FreePredictor
from benchmarks.provenance import footer, provenance

RESULTS = Path(__file__).parent / "results"
BATCH = 32
IN_MEMORY = 512
WANTED = {
    "ours / plain script": 4.0,
    "ours / limit": 0.9,
    "int8 / ours": 1.5,
    "int8 / plain script": 6.5,
    "overhead, images/s": 3000.0,
}


def fill_folder(folder: Path, data: Path, count: int) -> None:
    """``count`` copies of the JPEGs below ``data``, each file its own, under new names."""
    originals = sorted(data.rglob("*.jpg"))
    if not originals:
        sys.exit(f"{data}: no JPEG below; --data: the folder of real images")
    order = np.random.default_rng(0).permutation(len(originals))
    for number in range(count):
        inside = folder / f"{number // 1000:04}"
        inside.mkdir(parents=True, exist_ok=True)
        shutil.copy(originals[order[number % len(order)]], inside / f"{number:07}.jpg")


def fill_with_small(folder: Path, count: int) -> None:
    """``count`` JPEGs of 100 px with a dark blob on noisy ground."""
    from PIL import Image

    noise = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = noise.integers(200, 230, (100, 100)).astype(np.uint8)
        pixels[30:70, 25:75] -= 120
        Image.fromarray(pixels).save(folder / f"{number:07}.jpg", quality=90)


def ours(bundle: Path, folder: Path, engine: str) -> dict[str, Any]:
    """The command as a user gives it."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "plankton_da", "classify", str(bundle), str(folder)]
        command += ["--out", f"{name}/P.csv", "--engine", engine, "--device", "cpu", "--json"]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
    if not done.stdout:
        sys.exit(done.stderr)
    told = json.loads(done.stdout)
    said = [line for line in done.stderr.splitlines() if line.startswith("tried out")]
    steady = told["images_per_second"]
    return {
        "images": told["images"],
        "seconds": seconds,
        "steady": steady,
        "said": said,
        "engine": told["engine"],
    }


PLAIN = """
import sys
from pathlib import Path

import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Folder(Dataset):
    def __init__(self, folder, size):
        self.paths = sorted(Path(folder).rglob("*.jpg"))
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        return self.transform(Image.open(self.paths[number]).convert("RGB")), number


if __name__ == "__main__":
    folder, workers, size, classes, backbone, out = sys.argv[1:]
    model = timm.create_model(backbone, pretrained=False, num_classes=int(classes)).eval()
    images = Folder(folder, int(size))
    loader = DataLoader(images, batch_size=32, num_workers=int(workers))
    with torch.no_grad(), open(out, "w") as file:
        for batch, numbers in loader:
            scores = torch.softmax(model(batch), dim=1)
            best, labels = scores.max(dim=1)
            for number, label, score in zip(numbers.tolist(), labels.tolist(), best.tolist()):
                file.write(f"{images.paths[number]},{label},{score}\\n")
"""


def plain(script: Path, folder: Path, workers: int, about: dict[str, Any]) -> dict[str, Any]:
    """The script as most people write it, as a whole process."""
    arguments = [folder, workers, about["image_size"], about["classes"], about["backbone"]]
    command = [sys.executable, str(script), *map(str, arguments), str(script.with_suffix(".csv"))]
    environment = {name: v for name, v in os.environ.items() if name != "OMP_NUM_THREADS"}
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    rows = script.with_suffix(".csv").read_text().count("\n")
    return {"images": rows, "seconds": time.perf_counter() - began}


def model_alone(bundle: Path, engine: str, pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """On batches in memory, in the best layout of the cores that there is."""
    from plankton_da.networks.bundle import read_bundle_info
    from plankton_da.prediction.engine_choice import EngineChooser

    info = read_bundle_info(bundle)
    engines = EngineChooser(bundle, info, engine, "cpu", info.target_instruments[:1])  # type: ignore[arg-type]
    predictor = engines.open(batch_size=BATCH)
    batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    return {"images": len(pixels), **_timed_in_threads(predictor, batches)}


def _timed_in_threads(predictor: Any, batches: list[NDArray[np.uint8]]) -> dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor

    work = partial(predictor.probabilities, instrument=predictor.default_instrument)
    with ThreadPoolExecutor(predictor.streams) as pool:
        list(pool.map(work, batches[: 2 * predictor.streams]))  # warm
        began = time.perf_counter()
        list(pool.map(work, batches))
        return {"seconds": time.perf_counter() - began, "streams": predictor.streams}


def decode_share(bundle: Path, paths: list[str]) -> int:
    """Read, decode and resize; in a process of its own."""
    from plankton_da.images.refs import open_image
    from plankton_da.networks.bundle import read_bundle_info

    info = read_bundle_info(bundle)
    for path in paths:
        info.preprocess(open_image(path, Path("/")), info.target_instruments[0])
    return len(paths)


def decoding_alone(
    bundle: Path, folder: Path, pool: ProcessPoolExecutor, cores: int
) -> dict[str, Any]:
    """On all cores, by processes that have started before."""
    paths = [str(path.resolve()) for path in sorted(folder.rglob("*.jpg"))]
    shares = [paths[start::cores] for start in range(cores)]
    list(pool.map(partial(decode_share, bundle), [share[:8] for share in shares]))
    began = time.perf_counter()
    done = sum(pool.map(partial(decode_share, bundle), shares))
    return {"images": done, "seconds": time.perf_counter() - began}


def overhead(bundle: Path, folder: Path) -> dict[str, Any]:
    """``classify`` without a model, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "benchmarks.classify", "--free", str(bundle), str(folder)]
        done = subprocess.run(
            [*command, f"{name}/P.csv"], capture_output=True, text=True, check=True
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def classify_free(bundle: Path, folder: Path, out: Path) -> dict[str, Any]:
    """With a model that costs nothing; what is left is bookkeeping, in this thread, and pixels."""
    import pandas  # noqa: F401  # loading is no bookkeeping
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    from plankton_da.prediction.folder import classify

    began, used, booked = time.perf_counter(), time.process_time(), time.thread_time()
    summary = classify(
        bundle,
        [folder],
        out,
        progress=False,
        open_predictor=lambda: FreePredictor(bundle),  # type: ignore[arg-type, return-value]
    )
    return {
        "images": summary.images,
        "seconds": summary.images / summary.images_per_second,
        "whole_seconds": time.perf_counter() - began,
        "bookkeeping_seconds": time.thread_time() - booked,
        "main_process_seconds": time.process_time() - used,
    }


def decoded(bundle: Path, folder: Path) -> NDArray[np.uint8]:
    """Some images of the folder in memory."""
    from plankton_da.images.refs import open_image
    from plankton_da.networks.bundle import read_bundle_info

    info = read_bundle_info(bundle)
    paths = sorted(folder.rglob("*.jpg"))[:IN_MEMORY]
    look = partial(info.preprocess, instrument=info.target_instruments[0])
    return np.stack([look(open_image(path.name, path.parent)) for path in paths])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Rates of everything, in each round."""
    from plankton_da.networks.bundle import read_bundle_info
    from plankton_da.prediction.cores import available_cores

    cores = available_cores()
    info = read_bundle_info(options.bundle)
    about = {
        "backbone": info.backbone,
        "image_size": info.preprocess.image_size,
        "classes": len(info.classes),
    }
    fill_folder(work / "real", options.data, options.images)
    fill_with_small(work / "small", options.images)
    script = work / "plain.py"
    script.write_text(PLAIN)
    pixels = decoded(options.bundle, work / "real")
    few = work / "few"
    few.mkdir()
    for path in sorted((work / "real").rglob("*.jpg"))[: max(64, options.images // 10)]:
        os.link(path, few / path.name)
    tries = {workers: plain(script, few, workers, about) for workers in (0, 1, cores, 2 * cores)}
    best = min(tries, key=lambda workers: tries[workers]["seconds"])
    with ProcessPoolExecutor(cores) as pool:
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "plain script": lambda: plain(script, work / "real", best, about),
            "ours, onnx": lambda: ours(options.bundle, work / "real", "onnx"),
            "model alone, onnx": lambda: model_alone(options.bundle, "onnx", pixels),
            "decoding alone": lambda: decoding_alone(options.bundle, work / "real", pool, cores),
            "overhead": lambda: overhead(options.bundle, work / "small"),
            "ours, auto": lambda: ours(options.bundle, work / "real", "auto"),
            "model alone, torch": lambda: model_alone(options.bundle, "torch", pixels),
        }
        if info.int8 is not None:
            steps["ours, onnx-int8"] = lambda: ours(options.bundle, work / "real", "onnx-int8")
            steps["model alone, onnx-int8"] = lambda: model_alone(
                options.bundle, "onnx-int8", pixels
            )
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in steps}
        for number in range(options.rounds):
            for name, step in steps.items():
                rounds[name].append(step())
                rate = rounds[name][-1]["images"] / rounds[name][-1]["seconds"]
                print(f"round {number + 1}: {name}: {rate:,.0f} images/s", file=sys.stderr)
    return {
        "cores": cores,
        "model": about,
        "int8": None
        if info.int8 is None
        else info.int8.model_dump(mode="json", exclude={"manifests"}),
        "best_number_of_workers": best,
        "workers_tried": {str(workers): found for workers, found in tries.items()},
        "rounds": rounds,
    }


def summarise(found: dict[str, Any]) -> dict[str, Any]:
    """Medians, limits and what was wanted of them."""
    rounds = found["rounds"]
    rates = {
        name: statistics.median(each["images"] / each["seconds"] for each in values)
        for name, values in rounds.items()
    }
    steady = {
        name: statistics.median(each["steady"] for each in values)
        for name, values in rounds.items()
        if "steady" in values[0]
    }
    limits = {
        engine: 1 / (1 / rates[f"model alone, {engine}"] + 1 / rates["decoding alone"])
        for engine in ("onnx", "onnx-int8")
        if f"model alone, {engine}" in rates
    }
    micros = {
        what: statistics.median(1e6 * each[what] / each["images"] for each in rounds["overhead"])
        for what in ("bookkeeping_seconds", "main_process_seconds")
    }
    ratios = {
        "ours / plain script": rates["ours, onnx"] / rates["plain script"],
        "ours / limit": steady["ours, onnx"] / limits["onnx"],
        "overhead, images/s": rates["overhead"],
    }
    if "onnx-int8" in limits:
        ratios |= {
            "int8 / ours": rates["ours, onnx-int8"] / rates["ours, onnx"],
            "int8 / plain script": rates["ours, onnx-int8"] / rates["plain script"],
            "int8 / limit": steady["ours, onnx-int8"] / limits["onnx-int8"],
        }
    return {
        "images_per_second": rates,
        "images_per_second_once_started": steady,
        "limits": limits,
        "ratios": ratios,
        "bookkeeping_microseconds_an_image": micros["bookkeeping_seconds"],
        "main_process_microseconds_an_image": micros["main_process_seconds"],
    }


def report(document: dict[str, Any], options: argparse.Namespace) -> str:
    """The markdown."""
    rates, steady = document["images_per_second"], document["images_per_second_once_started"]
    model = document["model"]
    shown = {
        "plain script": f"plain script, {document['best_number_of_workers']} workers",
        "ours, onnx": "classify --engine onnx",
        "ours, onnx-int8": "classify --engine onnx-int8",
        "ours, auto": "classify (auto)",
        "model alone, torch": "torch alone, in memory",
        "model alone, onnx": "onnx alone, in memory",
        "model alone, onnx-int8": "onnx-int8 alone, in memory",
        "decoding alone": "reading, decoding, resizing alone",
    }
    limits = document["limits"]
    micros = document["bookkeeping_microseconds_an_image"]
    met = {
        name: "met" if document["ratios"][name] >= least else "not met"
        for name, least in WANTED.items()
        if name in document["ratios"]
    }
    lines = [
        "# classify: images a second",
        "",
        f"{options.images:,} real JPEGs in one folder, {model['backbone']} at "
        f"{model['image_size']} px, {document['cores']} cores, medians of {options.rounds} rounds.",
        "Whole processes, from their start to their end; *once started* leaves out loading.",
        "",
        "| what | images/s | once started |",
        "|---|---|---|",
        *(
            f"| {words} | {rates[name]:,.0f} | {f'{steady[name]:,.0f}' if name in steady else ''} |"
            for name, words in shown.items()
            if name in rates
        ),
        *(
            f"| limit: {engine} and decoding share the cores | {limit:,.0f} | |"
            for engine, limit in limits.items()
        ),
        "",
        "| ratio | found | wanted | |",
        "|---|---|---|---|",
        *(
            f"| {name} | {document['ratios'][name]:,.2f} | {least:g} | {met[name]} |"
            for name, least in WANTED.items()
            if name in met and name != "overhead, images/s"
        ),
        "",
        "## Overhead",
        "",
        f"A model that costs nothing, {options.images:,} drawn JPEGs of 100 px.",
        "",
        "| what | found | wanted | |",
        "|---|---|---|---|",
        f"| images/s | {rates['overhead']:,.0f} | 3,000 | {met['overhead, images/s']} |",
        f"| bookkeeping, microseconds of the processor an image | {micros:.0f} | 50 | "
        f"{'met' if micros <= 50 else 'not met'} |",
        "",
        f"| all of the main process, microseconds an image | "
        f"{document['main_process_microseconds_an_image']:.0f} | | |",
        "",
        "Bookkeeping is the processor time of the thread that walks, makes keys and rows, and "
        "writes parts and the result. The main process has threads beside it that take the pixels "
        "from the decoding processes and stack them for the model.",
        "",
        footer(document),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("PLANKTON_DA_TEST_DATA"),
        help="folder with real JPEGs below (default: PLANKTON_DA_TEST_DATA)",
    )
    parser.add_argument("--bundle", type=Path, help="as plankton-da quantize leaves it")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--free", nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.free:
        print(json.dumps(classify_free(*options.free)))
        return
    if options.data is None or options.bundle is None:
        parser.error("--data and --bundle are needed")
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as name:
        found = measure(options, Path(name))
    document = {
        **provenance(),
        "load_average": load,
        "options": {"images": options.images, "rounds": options.rounds},
        **summarise(found),
        **found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "classify.json").write_text(json.dumps(document, indent=1) + "\n")
    text = report(document, options)
    (options.out / "classify.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
