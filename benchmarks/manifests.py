"""What a manifest of ten million rows costs: to build, check, divide, read, filter and train from.

    python -m benchmarks.manifests [--rows 10000000] [--folder DIR]

Each step is a process of its own, and for the most part the command that somebody types; its wall
time, processor time and greatest resident memory are the system's account of that process, imports
included. The table is drawn: images in IFCB bins of 4000, the bins' files being there but empty, so
that looking whether an image is there costs what the disk's lists cost. Ten million rows take
5 GB of disk. Writes ``benchmarks/results/manifests.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from benchmarks.provenance import footer, provenance

RESULTS = Path(__file__).parent / "results"
PER_BIN = 4000
LABELS = 100
TEXT = pa.large_string()

_PACKAGES = ("plankton-da", "pandas", "pyarrow", "numpy")

MOST_CHECK_SECONDS = 60.0
MOST_CHECK_GB = 4.0
MOST_CSV_RATIO = 3.0
MOST_START_SECONDS = 10.0


def write_source(folder: Path, rows: int) -> None:
    """A lab's table ``source.csv``, ``small.parquet`` of another camera, and the bins' files."""
    rng = np.random.default_rng(0)
    bins = -(-rows // PER_BIN)
    options = pa.csv.WriteOptions(quoting_style="needed")
    writer = None
    for first in range(0, rows, 250 * PER_BIN):
        part = _rows(np.arange(first, min(first + 250 * PER_BIN, rows)), rng)
        writer = writer or pa.csv.CSVWriter(
            folder / "source.csv", part.schema, write_options=options
        )
        writer.write_table(part)
    if writer is not None:
        writer.close()
    small = _rows(np.arange(max(rows // 10, PER_BIN)), rng).rename_columns({"path": "image"})
    names = pa.repeat(pa.scalar("ISIIS", TEXT), len(small))
    pa.parquet.write_table(small.append_column("instrument", names), folder / "small.parquet")
    for number in range(bins):
        day = folder / f"bins/D{number // 100}"
        day.mkdir(parents=True, exist_ok=True)
        (day / f"D20160714T{number:06d}_IFCB101.roi").touch()


def _rows(numbers: np.ndarray[Any, np.dtype[np.int64]], rng: np.random.Generator) -> pa.Table:
    trigger = _text(numbers % PER_BIN)
    bins = _joined("D20160714T", pc.utf8_lpad(_text(numbers // PER_BIN), 6, "0"), "_IFCB101")
    labels = pa.array([f"taxon_{label:03d}" for label in range(LABELS)], TEXT)
    return pa.table(
        {
            "object_id": _joined(bins, "_", pc.utf8_lpad(trigger, 5, "0")),
            "path": _joined(
                "bins/D", _text(numbers // PER_BIN // 100), "/", bins, ".roi#", trigger
            ),
            "label": labels.take(pa.array((LABELS * rng.random(len(numbers)) ** 2).astype(int))),
            "group": bins,
            "pixel_size_um": pa.repeat(pa.scalar("0.29412", TEXT), len(numbers)),
            "time": _joined("2016-07-14T", pc.utf8_lpad(_text(numbers // PER_BIN), 6, "0")),
            "trigger": trigger,
            "volume_ml": _text(np.round(numbers // PER_BIN * 0.37 % 5, 4)),
        }
    )


def _text(values: Any) -> pa.Array:
    return (values if isinstance(values, pa.Array) else pa.array(values)).cast(TEXT)


def _joined(*parts: str | pa.Array) -> pa.Array:
    wide = [pa.scalar(part, TEXT) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*wide, pa.scalar("", TEXT))


def steps() -> dict[str, list[str]]:
    """Name -> command line, in the order in which they build on each other."""
    ours = [sys.executable, "-m", "plankton_da", "manifest"]
    build = [*ours, "build", "csv", "source.csv", "--instrument", "IFCB", "--column", "image=path"]
    read = "from plankton_da.manifests.table import read_manifest"
    pandas = "import pandas as pd, pyarrow.csv"
    train = (
        "from plankton_da.adaptation.rows import read_rows; "
        "from plankton_da.config import Config, DataConfig, method_configs"
    )
    return {
        "build csv": [*build, "--out", "m.parquet"],
        "split": [*ours, "split", "m.parquet", "--out", "divided.parquet"],
        "split, to CSV": [*ours, "split", "m.parquet", "--out", "divided.csv"],
        "check, Parquet": [*ours, "check", "divided.parquet"],
        "check, Parquet, --no-images": [*ours, "check", "divided.parquet", "--no-images"],
        "check, CSV": [*ours, "check", "divided.csv"],
        "check, CSV, --no-images": [*ours, "check", "divided.csv", "--no-images"],
        "read, Parquet": _timed(read, "read_manifest('divided.parquet')"),
        "read, CSV": _timed(read, "read_manifest('divided.csv')"),
        "pandas, CSV": _timed(pandas, "pd.read_csv('divided.csv', engine='pyarrow')"),
        "pandas, CSV as text": _timed(
            pandas,
            "pd.read_csv('divided.csv', engine='pyarrow', dtype=str, keep_default_na=False)",
        ),
        "read and filter, Parquet": _timed(
            read, "read_manifest('divided.parquet', ('label', 'split')).rows('val')"
        ),
        "read and filter, CSV": _timed(
            read, "read_manifest('divided.csv', ('label', 'split')).rows('val')"
        ),
        "training's rows, mid all": _timed(train, _train("divided.parquet", "small.parquet")),
        "training's rows, target all": _timed(train, _train("small.parquet", "divided.parquet")),
    }


def _train(mid: str, target: str) -> str:
    data = f"DataConfig(mid=[{mid!r}], target=[{target!r}])"
    return f"read_rows(Config(data={data}, method=method_configs()['dann']()), None)"


def _timed(imports: str, statement: str) -> list[str]:
    """A process that says how long the statement took, imports apart."""
    clocks = "time.perf_counter(), time.process_time()"
    lines = [imports, "import time", f"began = {clocks}", f"kept = {statement}", f"end = {clocks}"]
    lines.append("print(end[0] - began[0], end[1] - began[1])")
    return [sys.executable, "-c", "\n".join(lines)]


def run(command: list[str], folder: Path, nice: int) -> dict[str, float]:
    """Wall and processor seconds and greatest memory of a process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    began = time.perf_counter()
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said)
        if nice:
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        said.seek(0)
        lines = said.read().splitlines()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    processor = usage.ru_utime + usage.ru_stime
    if "-c" in command:
        wall, processor = map(float, lines[-1].split())
    return {
        "seconds": wall,
        "processor_seconds": processor,
        "peak_gb": usage.ru_maxrss * 1024 / 1e9,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where to work; kept, and used again")
    parser.add_argument("--rounds", type=int, default=3, help="of reads, in turn")
    parser.add_argument(
        "--nice",
        type=int,
        default=0,
        help="of what is measured; below 0 where others use the machine",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for old in ("m.parquet", "divided.parquet", "divided.csv"):
            (folder / old).unlink(missing_ok=True)
        if not (folder / "small.parquet").is_file():
            write_source(folder, options.rows)
        found: dict[str, dict[str, float]] = {}
        rounds: dict[str, list[dict[str, float]]] = {}
        for number in range(options.rounds):
            for step, command in steps().items():
                if number == 0 or "-c" in command:
                    rounds.setdefault(step, []).append(run(command, folder, options.nice))
                    print(step, rounds[step][-1], flush=True)
        for step, each in rounds.items():
            found[step] = {key: statistics.median(row[key] for row in each) for key in each[0]}
            print(step, {key: round(value, 2) for key, value in found[step].items()}, flush=True)
        sizes = {
            each: (folder / each).stat().st_size / 1e9
            for each in ("divided.parquet", "divided.csv")
        }
    document: dict[str, Any] = {
        **provenance(),
        "rows": options.rows,
        "nice": options.nice,
        "rounds": options.rounds,
        "file_gb": sizes,
        "steps": found,
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "wanted": wanted(found),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "manifests.json").write_text(json.dumps(document, indent=1) + "\n")
    (RESULTS / "manifests.md").write_text(report(document))
    print(report(document))


def wanted(found: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """What was aimed at, and whether it was reached."""
    check = found["check, Parquet"]
    plain = found["pandas, CSV"]["seconds"]
    rows = [
        ("check of Parquet, s", check["seconds"], MOST_CHECK_SECONDS),
        ("check of Parquet, GB", check["peak_gb"], MOST_CHECK_GB),
        ("read of CSV / pandas", found["read, CSV"]["seconds"] / plain, MOST_CSV_RATIO),
        ("check of CSV / pandas", found["check, CSV"]["seconds"] / plain, MOST_CSV_RATIO),
        *(
            (f"{step}, s", found[step]["seconds"], MOST_START_SECONDS)
            for step in ("training's rows, mid all", "training's rows, target all")
        ),
    ]
    return [
        {"what": what, "found": value, "at_most": most, "met": value <= most}
        for what, value, most in rows
    ]


def report(document: dict[str, Any]) -> str:
    """The results for people."""
    nice = document["nice"]
    lines = [
        f"# A manifest of {document['rows']:,} rows",
        "",
        f"Ten columns, {document['file_gb']['divided.csv']:.2f} GB as CSV, "
        f"{document['file_gb']['divided.parquet']:.2f} GB as Parquet; images in IFCB bins of "
        f"{PER_BIN}. Each step is a process of its own; reads and training's rows "
        f"are medians of {document['rounds']} rounds in turn. Seconds are wall time, for those "
        "without imports; *processor* is what the process had of all "
        "processors; *load* the system's average at its end: above 2, others shared the machine"
        + (f" (what is measured had priority: nice {nice})." if nice else "."),
        "",
        "| step | seconds | processor | peak GB | load |",
        "|---|---|---|---|---|",
        *(
            f"| {step} | {row['seconds']:.1f} | {row['processor_seconds']:.1f} | "
            f"{row['peak_gb']:.2f} | {row['load']:.1f} |"
            for step, row in document["steps"].items()
        ),
        "",
        "| wanted | found | at most | |",
        "|---|---|---|---|",
        *(
            f"| {row['what']} | {row['found']:.2f} | {row['at_most']:g} | "
            f"{'met' if row['met'] else 'not met'} |"
            for row in document["wanted"]
        ),
        "",
        "`--no-images` does not look whether the images are there. *Training's rows* are what "
        "`train` does with manifests before it opens an image: read the columns that it needs, "
        "check them, pair and divide; the other camera's manifest has a tenth of the rows.",
        "",
        footer(document),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
