"""Label maps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from plankton_da.errors import ManifestError
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy


def a_map(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


def labels(*names: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"object_id": [str(i) for i in range(len(names))], "label": names}, dtype=TEXT
    )


def test_labels_become_classes_and_empty_classes_drop_rows(tmp_path: Path) -> None:
    path = a_map(
        tmp_path, "label,class,note\nNA,copepod,x\nCalanus,copepod,\nblob,,\n007,detritus,\n"
    )
    taxonomy = read_taxonomy(path)
    assert taxonomy == {"NA": "copepod", "Calanus": "copepod", "blob": "", "007": "detritus"}
    mapped = apply_taxonomy(labels("Calanus", "blob", "007", "", "NA"), taxonomy)
    assert mapped["label"].tolist() == ["copepod", "detritus", "", "copepod"]
    assert mapped["object_id"].tolist() == ["0", "2", "3", "4"]
    assert mapped.index.tolist() == [0, 2, 3, 4]
    assert mapped.dtypes["label"] == TEXT


def test_all_labels_that_the_map_lacks_are_named_with_the_lines_to_add() -> None:
    with pytest.raises(ManifestError) as caught:
        apply_taxonomy(labels("b", "a", "c, d", "a"), {"a": "copepod"})
    text = str(caught.value)
    assert "lacks 2 label(s)" in text
    assert text.splitlines()[1:] == ["  b,", '  "c, d",']
    assert "copepod" in text.splitlines()[0]


def test_a_table_without_labels_stays() -> None:
    table = labels("a").drop(columns="label")
    pd.testing.assert_frame_equal(apply_taxonomy(table, {}), table)


def test_the_table_given_is_not_changed() -> None:
    table = labels("a", "b")
    apply_taxonomy(table, {"a": "x", "b": ""})
    assert table["label"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label\na\n", "line 1, column class"),
        ("name,class\na,b\n", "line 1, column label"),
        (
            "label,class\na,x\nb,y\na,z\n",
            "line 4, column label: 'a' is mapped to 'z' here and to 'x'",
        ),
        ("label,class\n,x\n", "line 2, column label: the label is empty"),
        ("label,class\n", "no rows"),
        ("", "empty"),
    ],
)
def test_maps_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        read_taxonomy(a_map(tmp_path, text))


def test_the_same_line_twice_does_no_harm(tmp_path: Path) -> None:
    assert read_taxonomy(a_map(tmp_path, "label,class\na,x\na,x\n")) == {"a": "x"}
