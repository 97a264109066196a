"""Tables as labs have them: the quick way reads what the thorough one reads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_da.errors import ManifestError
from plankton_da.manifests.ingest import tables

LETTERS = st.text(st.sampled_from('ab," ;\té0'), max_size=6)
ANYTHING = st.text(st.sampled_from('ab,"\n\r;\té\0'), max_size=30)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.one_of(ANYTHING, st.lists(LETTERS, max_size=6).map("\n".join)))
def test_quick_and_thorough_agree(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"x,y\n{text}".encode())
    quick = tables._read_plain(path)
    if quick is None:
        return
    thorough = tables._read_text(path, "utf-8")
    pd.testing.assert_frame_equal(quick.table, thorough.table)
    assert quick.lines().tolist() == thorough.lines().tolist()
    assert thorough.failed == []


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2\n", '"a","b"\n"1","x, y"\n', "\ufeffa;b\r\n1;2\r\n", "a\tb\n1\t2"],
    ids=["plain", "quoted", "bom_semicolons_crlf", "tabs_no_last_newline"],
)
def test_ordinary_tables_go_the_quick_way(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    quick = tables._read_plain(path)
    assert quick is not None
    assert quick.table.columns.tolist() == ["a", "b"]
    assert quick.lines().tolist() == [2]


def test_columns_of_one_name_are_refused_either_way(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,a\n1,2\n")
    with pytest.raises(ManifestError, match="several columns are called 'a'"):
        tables.read_loose_table(path)
