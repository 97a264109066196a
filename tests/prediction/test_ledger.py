"""The ledger believes what parts hold, not that they are there."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from plankton_da.errors import BundleError, OutputError
from plankton_da.prediction.ledger import Ledger, keys_of

OPTIONS = {"model": "a" * 64, "top_k": 1}
MADE = {"engine": "onnx", "device": "cpu"}


def keys(first: int, count: int) -> NDArray[np.uint64]:
    numbers = range(first, first + count)
    return keys_of([hashlib.blake2b(b"%d" % n, digest_size=16).digest() for n in numbers])


def rows(first: int, count: int) -> pa.Table:
    return pa.table({"object_id": [str(n) for n in range(first, first + count)]})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with Ledger(tmp_path / "P.csv", OPTIONS) as ledger:
        ledger.append(keys(0, 10), rows(0, 10), MADE)
        ledger.append(keys(10, 5), rows(10, 5), MADE)
    return tmp_path / "P.csv"


def test_rows_are_found_by_key_in_any_order(out: Path) -> None:
    with Ledger(out, OPTIONS) as ledger:
        assert len(ledger) == 15
        assert ledger.made == [MADE]
        found = ledger.find(keys(8, 10))
        assert (found == -1).tolist() == [False] * 7 + [True] * 3
        assert ledger.rows(found[:7][::-1])["object_id"].to_pylist() == [
            str(n) for n in range(14, 7, -1)
        ]


def damage_cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damage_flip(data: bytes) -> bytes:
    place = data.index(b"PAR1") + 60
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def damage_empty(data: bytes) -> bytes:
    return data[:0]


@pytest.mark.parametrize("damage", [damage_cut, damage_flip, damage_empty])
def test_a_damaged_part_does_not_count(out: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = out.with_name("P.csv.parts") / "part-000001.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with Ledger(out, OPTIONS) as ledger:
        assert (ledger.find(keys(0, 15)) >= 0).tolist() == [False] * 10 + [True] * 5
        ledger.append(keys(0, 10), rows(0, 10), MADE)
    with Ledger(out, OPTIONS) as ledger:
        assert (ledger.find(keys(0, 15)) >= 0).all()


def test_other_options_are_named_and_refused(out: Path) -> None:
    with pytest.raises(BundleError, match=r"top_k: 1 there, 3 now.*another --out, or --overwrite"):
        Ledger(out, {**OPTIONS, "top_k": 3}).__enter__()
    with Ledger(out, {**OPTIONS, "top_k": 3}, anew=True) as ledger:
        assert len(ledger) == 0
    with Ledger(out, OPTIONS) as ledger:
        assert len(ledger) == 0


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(out: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from plankton_da.prediction.ledger import Ledger\n"
        f"with Ledger(Path(sys.argv[1]), {OPTIONS!r}):\n"
        "    print('open', flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(out)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(OutputError, match=f"another process.*process {other.pid}"):
            Ledger(out, OPTIONS).__enter__()
    finally:
        other.kill()
        other.communicate()
    with Ledger(out, OPTIONS) as ledger:
        assert len(ledger) == 15


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        Ledger(tmp_path / "file" / "P.csv", OPTIONS).__enter__()


def test_left_overs_of_a_killed_process_are_removed(out: Path) -> None:
    left = out.with_name("P.csv.parts") / ".part-000003.parquet.123.tmp"
    left.write_bytes(b"half")
    with Ledger(out, OPTIONS):
        assert not left.exists()
