"""The final file: exact text, exact numbers, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from plankton_da.errors import UsageError
from plankton_da.prediction.result import Tally, check_suffix, write_result

NAMES = ["plain", 'a,"b"', "new\nline", "return\rhere", " blank ", "", "NA", "é"]
SCORES = np.array([0.1, 1 / 3, 1e-7, 1.0, 0.0, np.nan, 0.30000001, 0.9999999], np.float32)


def table(start: int = 0, stop: int = 8) -> pa.Table:
    return pa.table(
        {
            "object_id": pa.array(NAMES[start:stop], pa.string()),
            "score": pa.array(SCORES[start:stop], pa.float32(), from_pandas=True),
            "label": pa.array(["x", "x", "y", "x", "x", "", "x", "x"][start:stop]),
            "error": pa.array(["", "", "", "", "", "missing: gone", "", ""][start:stop]),
        }
    )


def ignore(sha256: str, tally: Tally) -> None:
    pass


def test_csv_holds_every_text_and_every_float(tmp_path: Path) -> None:
    tally = write_result(tmp_path / "P.csv", [table(0, 3), table(3)], ignore)
    assert tally == Tally(8, Counter(x=6, y=1), Counter(missing=1))
    with (tmp_path / "P.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["object_id"] for row in rows] == NAMES
    read = pd.read_csv(tmp_path / "P.csv", dtype=str, keep_default_na=False)
    assert list(read["object_id"]) == NAMES
    assert rows[5]["score"] == ""
    found = np.array([np.float32(row["score"] or "nan") for row in rows])
    np.testing.assert_array_equal(found, SCORES)


@pytest.mark.parametrize("name", ["P.csv", "P.parquet"])
def test_bytes_depend_on_rows_alone(name: str, tmp_path: Path) -> None:
    sums = []

    def note(sha256: str, tally: Tally) -> None:
        sums.append(sha256)

    write_result(tmp_path / name, [table()], note)
    first = (tmp_path / name).read_bytes()
    write_result(tmp_path / name, [table()], note)
    assert (tmp_path / name).read_bytes() == first
    assert sums == [hashlib.sha256(first).hexdigest()] * 2


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    write_result(tmp_path / "P.parquet", [table(0, 3), table(3)], ignore)
    read = pd.read_parquet(tmp_path / "P.parquet")
    assert list(read["object_id"]) == NAMES
    np.testing.assert_array_equal(read["score"], SCORES)


@pytest.mark.parametrize("name", ["P.csv", "P.parquet"])
def test_an_older_result_outlives_a_failure(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("old")

    def tables() -> Iterator[pa.Table]:
        yield table()
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError):
        write_result(tmp_path / name, tables(), ignore)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


def test_other_formats_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        check_suffix(Path("P.xlsx"))
