"""Columns as codes and as pieces: the same values, however they lie in memory."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plankton_da.manifests import columns
from plankton_da.manifests.columns import TEXT, EncodedTable, combinations, encode
from plankton_da.manifests.distinct import has_repetitions
from plankton_da.manifests.fingerprint import fingerprint_of
from plankton_da.manifests.presence import missing_images

texts = st.text(st.sampled_from("ab\0é#"), max_size=9)


def in_pieces(values: list[str], at: list[int]) -> pd.Series[str]:
    """A column whose values stand in several arrays, some of them empty."""
    bounds = [0, *sorted(place % (len(values) + 1) for place in at), len(values)]
    whole = pa.array(values, pa.large_string())
    chunks = [whole.slice(a, b - a) for a, b in itertools.pairwise(bounds)]
    return pd.Series(pa.chunked_array(chunks), dtype=TEXT)


@given(st.lists(texts, max_size=30), st.lists(st.integers(0, 30), max_size=5))
def test_pieces_change_nothing(values: list[str], at: list[int]) -> None:
    column = in_pieces(values, at)
    encoded = encode(column)
    assert [encoded.value(row) for row in range(len(values))] == values
    assert has_repetitions(column) == (len(set(values)) < len(values))
    whole = pd.DataFrame({"a": pd.Series(values, dtype=TEXT)})
    assert fingerprint_of(pd.DataFrame({"a": column})) == fingerprint_of(whole)


@given(st.lists(texts, max_size=300).map(sorted), st.lists(st.integers(0, 300), max_size=5))
def test_repetitions_in_sorted_values(values: list[str], at: list[int]) -> None:
    assert has_repetitions(in_pieces(values, at)) == (len(set(values)) < len(values))


def test_images_in_pieces_are_looked_for_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("run.tif", "b#2", "c.png"):
        (tmp_path / "a" / name).touch()
    refs = [f"a/run.tif#{n}" for n in range(30)] + ["a/c.png"] * 20 + ["a/b#2", "a/no.tif#1", ""]
    found = missing_images(in_pieces(refs, [7, 7, 31, 51]), tmp_path)
    assert np.flatnonzero(found).tolist() == [len(refs) - 2, len(refs) - 1]


rows = st.lists(st.tuples(*[st.sampled_from(["", "x", "y", "z"])] * 3), max_size=30)


@pytest.mark.parametrize("counters", [1 << 22, 0], ids=["counted", "sorted"])
@given(rows=rows)
def test_combinations_are_counted(rows: list[tuple[str, str, str]], counters: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_MOST_COUNTERS", counters)
        table = EncodedTable(pd.DataFrame(rows, columns=list("abc"), dtype=TEXT))
        parts = [table[name] for name in ("a", "b", "c", "not there")]
        codes, counts = combinations(*parts)
    names = [
        [part.values[place].as_py() for place in code.tolist()]
        for part, code in zip(parts, codes, strict=True)
    ]
    found = dict(zip(zip(*names, strict=True), counts.tolist(), strict=True))
    assert found == Counter((*row, "") for row in rows)
