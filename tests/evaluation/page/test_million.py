"""A million rows: a page below 10 MB, in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROWS = 1_000_000
PROGRAM = """
import os, re, sys
from pathlib import Path
from plankton_da.evaluation.report.page import write_report
write_report(Path(sys.argv[1]), Path(sys.argv[2]))
status = Path("/proc/self/status")  # getrusage's maximum counts the parent's from before exec
memory = re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1] if status.exists() else 0
print(memory, sum(os.times()[:4]))  # those of the processes that decode, too
"""


@pytest.mark.slow
def test_a_million_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(500):  # noise takes the most room that a picture can
        noise = rng.integers(0, 256, (200, 200)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png", compress_level=0)
    labels = pa.DictionaryArray.from_arrays(
        rng.integers(0, 100, ROWS).astype(np.int32), [f"class {k:03d}" for k in range(100)]
    ).cast(pa.string())
    scores = rng.beta(4, 1, ROWS).astype(np.float32)
    numbers = np.arange(ROWS)
    table = pa.table(
        {
            "object_id": np.char.add("cruise/", numbers.astype(str)),
            "image": np.char.add((numbers % 500).astype(str), ".png"),
            "instrument": pa.repeat("CAM", ROWS),
            "label": labels,
            "score": scores,
            "raw_label": labels,
            "raw_score": scores,
            "error": pa.repeat("", ROWS),
        }
    )
    pq.write_table(table, tmp_path / "P.parquet")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "P.parquet"), str(tmp_path / "P.html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    memory_kib, cpu_seconds = map(float, done.stdout.split())
    assert cpu_seconds < 60
    assert memory_kib < 600 * 1024
    assert 4_000_000 < (tmp_path / "P.html").stat().st_size < 10_000_000
