"""Repetitions in a column, against a set of Python strings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plankton_da.manifests import distinct
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.distinct import has_repetitions

texts = st.text(st.sampled_from("ab\0é#"), max_size=6)


def column(values: list[str]) -> pd.Series[str]:
    return pd.Series(values, dtype=TEXT)


@given(st.lists(texts, max_size=40))
def test_as_a_set_says(values: list[str]) -> None:
    assert has_repetitions(column(values)) == (len(set(values)) < len(values))


@pytest.mark.parametrize("at", [1, 299_999])
def test_a_repetition_far_away_in_many_rows(at: int) -> None:
    values = [f"bin_{i // 100}/image_{i}" for i in range(300_000)]
    assert not has_repetitions(column(values))
    values[at] = values[0]
    assert has_repetitions(column(values))


@pytest.mark.parametrize("name", ["bins/D{}/a.roi#{}", "D{}_{}", "é{}#{}"])
@pytest.mark.parametrize("at", [1, 9_999, 29_999])
def test_a_repetition_among_numbers_without_leading_zeros(
    name: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distinct, "_ROWS_AT_ONCE", 1000)
    values = [name.format(i // 4000, i % 4000) for i in range(30_000)]
    assert not has_repetitions(column(values))
    values[at] = values[3]
    assert has_repetitions(column(values))


def test_numbers_in_listed_order_are_not_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct, "_hashes", lambda values: pytest.fail("hashed"))
    assert not has_repetitions(column([f"D{i // 50}/a.roi#{i % 50}" for i in range(1000)]))


def test_values_longer_than_what_is_hashed_at_once() -> None:
    long = "x" * 70_000
    assert not has_repetitions(column([long, "y", f"{long}z", "", "é" * 40_000]))
    assert has_repetitions(column([long, "y", long]))


def test_a_part_of_a_longer_column() -> None:
    whole = pa.array(["a", "b", "a", "c"], pa.large_string())
    assert has_repetitions(pd.Series(whole, dtype=TEXT))
    assert not has_repetitions(pd.Series(whole.slice(1), dtype=TEXT))


def test_values_that_share_a_hash_are_no_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct, "_hashes", lambda values: np.zeros(len(values), np.uint64))
    assert not has_repetitions(column(["b", "a"]))
    assert has_repetitions(column(["a", "b", "a"]))
