"""Manifests as they are written, read again and recognised."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_da.errors import ManifestError, OutputError
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.reading import read_table
from plankton_da.manifests.table import (
    Manifest,
    fingerprint_of,
    read_manifest,
    rebase_refs,
    write_manifest,
)

letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def a_table(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=TEXT)


SMALL = a_table(object_id=["1", "2"], image=["a", "b"], instrument=["I", "J"], split=["", "val"])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(letters, letters, letters), min_size=1, max_size=6))
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_any_text_survives_a_round_trip(
    tmp_path: Path, suffix: str, rows: list[tuple[str, str, str]]
) -> None:
    table = pd.DataFrame(rows, columns=["label", "na,me", 'quo"te'], dtype=TEXT)
    path = tmp_path / f"m{suffix}"
    write_manifest(table, path, overwrite=True)
    raw = read_table(path)
    assert not raw.problems
    pd.testing.assert_frame_equal(raw.table, table)


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    write_manifest(SMALL, tmp_path / "m.csv")
    write_manifest(SMALL, tmp_path / "m.parquet")
    prints = {read_manifest(tmp_path / name).fingerprint for name in ("m.csv", "m.parquet")}
    assert prints == {fingerprint_of(SMALL), fingerprint_of(SMALL[SMALL.columns[::-1]])}
    assert len(prints) == 1
    in_two_chunks = pd.concat([SMALL.iloc[:1], SMALL.iloc[1:]])
    assert fingerprint_of(in_two_chunks) in prints


@pytest.mark.parametrize(
    "other",
    [
        SMALL.iloc[::-1],
        SMALL.assign(split=["val", ""]),
        SMALL.rename(columns={"split": "group"}),
        SMALL.assign(image=["ab", ""]),  # the same letters, cut elsewhere
    ],
    ids=["order", "value", "column", "borders"],
)
def test_fingerprint_tells_apart(other: pd.DataFrame) -> None:
    assert fingerprint_of(other) != fingerprint_of(SMALL)


def test_rows_and_columns() -> None:
    manifest = Manifest.of(SMALL, Path())
    assert manifest.instruments == ("I", "J")
    assert manifest.rows("val").index.tolist() == [1]
    assert manifest.rows(("train", "")).index.tolist() == [0]
    assert len(manifest.rows()) == 2
    assert manifest.column("label").tolist() == ["", ""]


def test_root_is_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(SMALL, tmp_path / "m.csv")
    monkeypatch.chdir(tmp_path)
    manifest = read_manifest("m.csv")
    monkeypatch.chdir("/")
    assert manifest.root == tmp_path


def test_nothing_is_overwritten_silently(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write_manifest(SMALL, path)
    with pytest.raises(OutputError, match="--overwrite"):
        write_manifest(SMALL.iloc[:1], path)
    assert len(read_manifest(path).table) == 2
    write_manifest(SMALL.iloc[:1], path, overwrite=True)
    assert len(read_manifest(path).table) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        write_manifest(SMALL, tmp_path / "file" / "m.csv")
    with pytest.raises(OutputError, match=r"\.csv or \.parquet"):
        write_manifest(SMALL, tmp_path / "m.xlsx")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.csv"
    write_manifest(SMALL, path)
    before = path.read_bytes()
    (tmp_path / f".m.csv.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        write_manifest(SMALL.iloc[:1], path, overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


def test_new_file_has_the_users_permissions(tmp_path: Path) -> None:
    write_manifest(SMALL, tmp_path / "m.csv")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "m.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_refs_moved_to_another_folder_name_the_same_files(tmp_path: Path) -> None:
    refs = pd.Series(["a/b.png", "../c.zip!d.png", "/abs/e.png"], dtype=TEXT)
    (tmp_path / "old 100%").mkdir()
    moved = rebase_refs(refs, tmp_path / "old 100%", tmp_path / "new" / "deep")
    assert moved.tolist() == [
        "../../old 100%25/a/b.png",
        "../../old 100%25/../c.zip!d.png",
        "/abs/e.png",
    ]
    assert rebase_refs(refs, tmp_path, tmp_path).tolist() == refs.tolist()


def test_many_rows_make_no_python_objects(tmp_path: Path) -> None:
    count = 300_000
    numbers = pd.Series(np.arange(count)).astype(TEXT)
    table = pd.DataFrame({"object_id": numbers, "image": numbers + ".png"}, dtype=TEXT)
    table["instrument"] = pd.Series("I", index=table.index, dtype=TEXT)
    write_manifest(table, tmp_path / "m.csv")
    manifest = read_manifest(tmp_path / "m.csv")
    assert all(dtype == TEXT and dtype.storage == "pyarrow" for dtype in manifest.table.dtypes)
    # three columns of at most 10 letters and an 8-byte offset; a Python string alone takes 50
    assert manifest.table.memory_usage(deep=True).sum() < count * 60


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_part_of_the_columns_has_the_whole_fingerprint(tmp_path: Path, name: str) -> None:
    table = SMALL.assign(note=["x", "a,b"])
    write_manifest(table, tmp_path / name)
    part = read_manifest(tmp_path / name, ("split", "licence"))
    assert set(part.table.columns) == {"object_id", "image", "instrument", "split"}
    assert part.fingerprint == fingerprint_of(table) == read_manifest(tmp_path / name).fingerprint


def test_a_fingerprint_of_another_content_is_refused(tmp_path: Path) -> None:
    write_manifest(SMALL, tmp_path / "m.csv")
    part = read_manifest(tmp_path / "m.csv", ())
    write_manifest(SMALL.assign(note="x"), tmp_path / "m.csv", overwrite=True)
    with pytest.raises(ManifestError, match="has changed since it was read"):
        _ = part.fingerprint
