"""What one pass over the rows finds is what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from plankton_da.errors import DataError, ManifestError
from plankton_da.evaluation.report.rows import read_rows
from plankton_da.evaluation.report.survey import BINS, MOST_SAMPLES, Survey, survey

Drawn = Callable[..., pd.DataFrame]


@pytest.fixture(params=["csv", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    def write(table: pd.DataFrame) -> Path:
        path = tmp_path / f"P.{request.param}"
        if request.param == "csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path, index=False)
        return path

    return write


def test_counts_and_samples_are_those_of_the_table(
    file: Callable[[pd.DataFrame], Path], drawn: Drawn
) -> None:
    table = drawn(3000)
    found = survey(file(table))
    good = table[table["error"] == ""]
    assert found.images == 3000
    assert found.failed == 3000 - len(good)
    assert found.labels() == good["label"].value_counts().to_dict()
    assert found.errors() == table["error"].str.split(":").str[0].value_counts().drop("").to_dict()
    for label, rows in good.groupby("label"):
        scores = rows["score"].to_numpy(np.float64)
        counts, _ = np.histogram((scores * BINS).astype(int).clip(0, BINS - 1), range(BINS + 1))
        assert found.histogram(label).tolist() == counts.tolist()
        for samples, ordered in (
            (found.surest(label), rows.sort_values("score", ascending=False, kind="stable")),
            (found.least_sure(label), rows.sort_values("score", kind="stable")),
        ):
            expected = ordered["object_id"][:MOST_SAMPLES].tolist()
            assert [sample.object_id for sample in samples] == expected
        drawn_ids = {sample.object_id for sample in found.random(label)}
        assert len(drawn_ids) == MOST_SAMPLES
        assert drawn_ids <= set(rows["object_id"])
        wrong = rows[(rows["true_label"] != "") & (rows["true_label"] != label)]
        expected = wrong.sort_values("score", ascending=False, kind="stable")["object_id"]
        if label != "unclassified":
            ids = [sample.object_id for sample in found.wrong(label)]
            assert ids == expected[:MOST_SAMPLES].tolist()
        else:
            assert found.wrong(label) == []
    first = table[table["error"].str.startswith("truncated")]["object_id"][:MOST_SAMPLES]
    assert [one.object_id for one in found.failed_samples("truncated")] == first.tolist()


@pytest.mark.parametrize("rows", [1, 7, 999])
def test_the_size_of_the_pieces_changes_nothing(drawn: Drawn, tmp_path: Path, rows: int) -> None:
    path = tmp_path / "P.parquet"
    drawn(1000).to_parquet(path)
    whole = survey(path)
    pieces = Survey()
    (table,) = read_rows(path)
    for start in range(0, 1000, rows):
        pieces.add(table.slice(start, rows))
    assert pieces.labels() == whole.labels()
    for label in whole.labels():
        for kind in ("surest", "least_sure", "random", "wrong"):
            assert getattr(pieces, kind)(label) == getattr(whole, kind)(label)
        assert pieces.histogram(label).tolist() == whole.histogram(label).tolist()


FAULTS = {
    "no_label_no_error": (lambda t: t.assign(label="", error=""), "exactly one of label and error"),
    "both": (lambda t: t.assign(error="truncated: x"), "exactly one of label and error"),
    "above_one": (lambda t: t.assign(score="1.5"), "a score is a number from 0 to 1"),
    "not_a_number": (lambda t: t.assign(score="nan"), "a score is a number from 0 to 1"),
    "words": (lambda t: t.assign(raw_score="high"), "a score is a number from 0 to 1"),
    "no_score": (lambda t: t.drop(columns="score"), "column score: this column is required"),
    "no_image": (lambda t: t.drop(columns="image"), "column image"),
}


@pytest.mark.parametrize(("spoil", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_told_with_their_lines(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], words: str, drawn: Drawn, tmp_path: Path
) -> None:
    table = drawn(3)
    table = table[table["error"] == ""]
    spoil(table).to_csv(tmp_path / "P.csv", index=False)
    with pytest.raises(ManifestError, match=words) as caught:
        survey(tmp_path / "P.csv")
    assert "P.csv, line" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("P.csv", b"", "is empty"),
        ("P.csv", None, "no such file"),
        ("P.parquet", b"PAR1", "is not a whole Parquet file"),
        ("P.csv", b"object_id;image;instrument\na;b;c\n", "separated by semicolons"),
        ("P.txt", b"", "a table is .csv or .parquet"),
    ],
    ids=["empty", "missing", "cut", "semicolons", "text"],
)
def test_what_is_no_table(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ManifestError, match=words):
        survey(path)


def test_latin_1_is_told_with_its_line(drawn: Drawn, tmp_path: Path) -> None:
    path = tmp_path / "P.csv"
    table = drawn(50)
    table.loc[30, "object_id"] = "café"
    table.to_csv(path, index=False, encoding="latin-1")
    with pytest.raises(ManifestError, match="line 32"):
        survey(path)


def test_parquet_that_lies_about_its_text(drawn: Drawn, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(drawn(2), preserve_index=False)
    names = pa.array([b"caf\xe9", b"b"], pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(table.set_column(0, "object_id", names), tmp_path / "P.parquet")
    with pytest.raises(ManifestError, match="not text"):
        survey(tmp_path / "P.parquet")


def test_no_rows(drawn: Drawn, tmp_path: Path) -> None:
    drawn(2)[:0].to_csv(tmp_path / "P.csv", index=False)
    with pytest.raises(DataError, match="no rows"):
        survey(tmp_path / "P.csv")
