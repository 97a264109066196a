"""Files of numbered refs, against a regular expression on each."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plankton_da.manifests.numbered import numbered_files

NUMBERED = re.compile(r"([^#%!]{13,})#([0-9][0-9,]*)", re.ASCII | re.DOTALL)

files = st.sampled_from(["bins/D20160714T0.roi", "bins/D20160714T1.roi", "année/larvacé_é.tif"])
numbers = st.from_regex(r"[0-9][0-9,]{0,9}", fullmatch=True)
good = st.builds("{}#{}".format, files, numbers)
odd = st.text(st.sampled_from("ab/#%!1,é\n"), max_size=20)


def large(refs: list[str]) -> pa.Array:
    return pa.array(refs, pa.large_string())


@given(st.lists(good, min_size=1, max_size=20), st.integers(0, 5))
def test_numbered_parts_give_their_files(refs: list[str], skipped: int) -> None:
    skipped = min(skipped, len(refs) - 1)
    found = numbered_files(large(refs).slice(skipped))
    assert found is not None
    assert found.to_pylist() == [ref.split("#")[0] for ref in refs[skipped:]]
    assert found.type == pa.dictionary(pa.int32(), pa.large_string())


@given(st.lists(st.one_of(good, odd), max_size=4))
def test_one_ref_of_another_kind_and_none_is_taken(refs: list[str]) -> None:
    found = numbered_files(large(refs))
    alike = all(NUMBERED.fullmatch(ref) for ref in refs) and bool(refs)
    if alike or found is not None:
        assert found is not None
        assert found.to_pylist() == [ref.split("#")[0] for ref in refs]
        assert all("%" not in ref and "!" not in ref for ref in refs)
        assert all(re.fullmatch(r"[^#]*#[0-9][0-9,]*", ref, re.DOTALL) for ref in refs)


@pytest.mark.parametrize(
    "ref",
    [
        "bins/D20160714T0.roi",
        "bins/D20160714T0.roi#",
        "bins/D20160714T0.roi#,1",
        "bins/D20160714T0.roi#1a",
        "bins/D20160714T0.roi#1#2",
        "a%20zip_of_bins!D2016.roi#1",
        "short.roi#1",
        "bins/D20160714T0.roi#" + "1" * 40,
    ],
)
def test_what_is_left_to_others(ref: str) -> None:
    assert numbered_files(large(["bins/D20160714T0.roi#7"])) is not None
    assert numbered_files(large(["bins/D20160714T0.roi#7", ref])) is None
    assert numbered_files(large([ref])) is None
