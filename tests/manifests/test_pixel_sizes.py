"""Units of pixel sizes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plankton_da.errors import UsageError
from plankton_da.manifests.checks import check_manifests
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.ingest import build_manifest
from plankton_da.manifests.pixel_sizes import (
    PLAUSIBLE_UM,
    Unit,
    column_in_micrometres,
    in_micrometres,
    median_sizes,
    size_remarks,
    stated_unit,
    with_size,
)
from plankton_da.manifests.summary import check_summary
from plankton_da.manifests.table import read_manifest


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("pixel_size_um", "um"),
        ("process_particle_pixel_size_µm", "um"),  # micro sign
        ("pixel size [μm]", "um"),  # Greek mu
        ("pixel (mm)", "mm"),
        ("process_pixel_mm", "mm"),
        ("Pixel size microns", "um"),
        ("process_pixel", None),
        ("summary", None),
        ("um_per_mm", None),
        ("gamma", None),
    ],
)
def test_units_in_names(name: str, unit: Unit | None) -> None:
    assert stated_unit(name) == unit


@pytest.mark.parametrize(
    ("value", "unit", "side"),
    [
        (0.118, None, 118.0),  # UVP5, mm
        (0.75, None, 0.75),  # PlanktoScope, µm
        (73.0, None, 73.0),  # UVP6, µm
        (10.6, None, 10.6),  # ZooScan, µm
        (0.0106, "um", 10.6),  # ZooScan, mm under a µm header
        (0.0106, "mm", 10.6),
        (0.29, None, 0.29),  # IFCB
        (0.2, None, None),  # either
        (0.2, "mm", 200.0),
        (0.2, "um", 0.2),
        (73.0, "mm", 73.0),
        (5e-5, None, None),
        (1e6, "um", None),
        (0.0, "um", None),
        (-10.6, None, None),
        (float("nan"), None, None),
        (float("inf"), "mm", None),
    ],
)
def test_real_values(value: float, unit: Unit | None, side: float | None) -> None:
    found, remark = in_micrometres(value, unit)
    assert found == side
    plain = side == value if unit is None else side == value * {"um": 1, "mm": 1000}[unit]
    assert bool(remark) != plain


@given(st.floats(), st.sampled_from(["um", "mm", None]))
def test_a_side_is_plausible_or_not_known(value: float, unit: Unit | None) -> None:
    side, remark = in_micrometres(value, unit)
    if side is None:
        assert remark
    else:
        assert PLAUSIBLE_UM[0] <= side <= PLAUSIBLE_UM[1]


def test_a_column_gets_one_remark_for_each_value() -> None:
    column = pd.Series(["0.118", "", "0.118", " 10.6 ", "x", "1_0"], dtype=TEXT)
    values, remarks = column_in_micrometres(column)
    assert values.to_pylist() == ["118", "", "118", "10.6", "", ""]
    assert remarks == ["0.118 taken as mm: 118 µm", "'x' is no number", "'1_0' is no number"]
    _, remarks = column_in_micrometres(pd.Series([f"x{i}" for i in range(99)], dtype=TEXT))
    assert len(remarks) == 21
    assert remarks[-1] == "and 79 more values"


def table(instrument: str, *sizes: str) -> pd.DataFrame:
    return pd.DataFrame({"instrument": instrument, "pixel_size_um": sizes}, dtype=TEXT)


def test_medians_are_by_instrument_over_several_tables() -> None:
    tables = [table("A", "1", "3", ""), table("A", "2", "x", "nan"), table("B", " 1e1 ")]
    assert median_sizes(tables) == {"A": 2.0, "B": 10.0}
    assert median_sizes([pd.DataFrame({"instrument": ["A"]}, dtype=TEXT)]) == {}
    assert median_sizes([table("A", "")]) == {}


def test_a_median_is_that_of_rows_not_of_values() -> None:
    assert median_sizes([table("A", "9", "1", "1", "1", "9"), table("A", "9", "9")]) == {"A": 9.0}
    assert median_sizes([table("A", "1.0", "1", "2", "3")]) == {"A": 1.0}


def test_a_check_of_several_manifests_doubts_their_units(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    for name, size in (("UVP5", "0.118"), ("ISIIS", "68"), ("TOWED", "0.25")):
        text = f"object_id,image,instrument,pixel_size_um\n1,a.png,{name},{size}\n"
        (tmp_path / f"{name}.csv").write_text(text)
    report = check_manifests([tmp_path / "UVP5.csv", tmp_path / "ISIIS.csv"])
    assert report.ok  # it may be right
    (remark,) = report.remarks
    assert remark.startswith("UVP5: pixel_size_um is 0.118")
    assert report.as_json()["remarks"] == [remark]
    assert remark in check_summary(report)
    (remark,) = check_manifests([tmp_path / "TOWED.csv", tmp_path / "ISIIS.csv"]).remarks
    assert "a pixel of ISIIS (68 µm) is 272 times as wide" in remark
    assert check_manifests([tmp_path / "ISIIS.csv"]).remarks == []


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"IFCB": 0.29, "ZooScan": 10.6}, None),
        ({"ISIIS": 68.0, "UVP5": 118.0}, None),
        ({"UVP5": 0.118, "ISIIS": 68.0}, "UVP5: pixel_size_um is 0.118"),
        ({"ISIIS": 60.0, "X": 0.2}, "a pixel of ISIIS (60 µm) is 300 times as wide as one of X"),
        ({"A": 10600.0}, "A: pixel_size_um is 10600"),
        ({}, None),
    ],
)
def test_sizes_that_suggest_another_unit(sizes: dict[str, float], words: str | None) -> None:
    remarks = size_remarks(sizes)
    assert len(remarks) == (words is not None)
    assert not words or remarks[0].startswith(words)


def test_a_size_given_by_hand_fills_what_is_empty() -> None:
    filled, remarks = with_size(pd.DataFrame({"object_id": ["a"]}, dtype=TEXT), 68.0)
    assert filled["pixel_size_um"].tolist() == ["68"]
    assert remarks == []
    filled, remarks = with_size(table("A", "10.6", "", "68"), 68.0)
    assert filled["pixel_size_um"].tolist() == ["10.6", "68", "68"]
    assert remarks == ["pixel_size_um: rows that say 10.6 keep it"]
    for wrong in (0.0106, 0.0, -1.0, float("nan"), 1e4):
        with pytest.raises(UsageError, match="give the side of a pixel in micrometres"):
            with_size(table("A", ""), wrong)


def test_the_command_takes_it(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "x.png").touch()
    out = tmp_path / "m.csv"
    build_manifest("folders", [tmp_path / "in"], "ISIIS", out, pixel_size_um=68.0)
    assert read_manifest(out).table["pixel_size_um"].tolist() == ["68"]
