"""A proposed taxonomy: what the file holds, and that guesses cannot be used by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from plankton_da.errors import ManifestError, OutputError, UsageError
from plankton_da.manifests.names import read_names
from plankton_da.manifests.suggest import suggest_taxonomy, suggestion_summary
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy


def manifest(path: Path, *labels: str, **columns: list[str]) -> Path:
    rows = {"object_id": [str(i) for i in range(len(labels))], "image": "a.png"}
    table = pd.DataFrame({**rows, "instrument": path.stem, "label": labels, **columns})
    table.to_csv(path, index=False)
    return path


def test_a_sure_map_can_be_used_at_once_and_serves_both_cameras(tmp_path: Path) -> None:
    mid = manifest(tmp_path / "mid.csv", "Copepod", "Copepod", "egg<other", "rare")
    target = manifest(tmp_path / "target.csv", "copepod", "Biota>other>egg", "Dot")
    out = tmp_path / "t.csv"
    suggestion = suggest_taxonomy(mid, target, out)
    taxonomy = read_taxonomy(out)
    assert taxonomy == {
        "rare": "rare",
        "Copepod": "copepod",
        "egg<other": "Biota>other>egg",
        "copepod": "copepod",
        "Biota>other>egg": "Biota>other>egg",
        "Dot": "Dot",
    }
    for path in (mid, target):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert len(apply_taxonomy(table, taxonomy)) == len(table)
    assert suggestion.alone["label"].tolist() == ["rare"]
    assert suggestion.never_met["label"].tolist() == ["Dot"]
    by_label = suggestion.table.set_index("label")
    assert by_label.loc["Copepod", ["how", "score", "mid_rows"]].tolist() == ["folded", "100", "2"]
    assert by_label.loc["Dot", ["how", "target_rows"]].tolist() == ["target", "1"]
    document = json.loads(json.dumps(suggestion.as_json()))
    assert document["without_partner"] == {"mid": ["rare"], "target": ["Dot"]}
    assert document["rows"][1]["score"] == 100
    assert document["rows"][1]["mid_rows"] == 2


def test_guesses_are_refused_until_the_cell_is_emptied(tmp_path: Path) -> None:
    mid = manifest(tmp_path / "mid.csv", "copepod", "copepod_oithona", "euphausiids")
    target = manifest(tmp_path / "target.csv", "copepod", "Oithona", "euphausiid")
    out = tmp_path / "t.csv"
    assert len(suggest_taxonomy(mid, target, out).to_check) == 2
    with pytest.raises(ManifestError) as caught:
        read_taxonomy(out)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "t.csv, line 2, column check: 'copepod_oithona' -> " in lines[0]
    assert "is a guess (a similar name only" in lines[0]
    table = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert table["label"][0] == "copepod_oithona"  # what needs a person stands at the top
    table.loc[0, ["class", "check"]] = ["Oithona", ""]
    table.loc[1, "check"] = " "
    table.to_csv(out, index=False)
    assert read_taxonomy(out)["copepod_oithona"] == "Oithona"
    assert read_taxonomy(out)["euphausiids"] == "euphausiid"


def test_ids_and_hierarchies_of_columns_are_used(tmp_path: Path) -> None:
    mid = manifest(
        tmp_path / "mid.csv",
        *("Larvacea", "Larvacea", "egg"),
        aphia_id=["", "urn:lsid:marinespecies.org:taxname:17446", ""],
        object_annotation_hierarchy=["", "", "Biota>other>egg"],
    )
    target = manifest(tmp_path / "target.csv", "app", "egg<other", AphiaID=["17446.0", ""])
    suggestion = suggest_taxonomy(mid, target, tmp_path / "t.csv")
    assert suggestion.table["how"].tolist() == ["aphia_id", "hierarchy", "target", "target"]
    assert read_taxonomy(tmp_path / "t.csv")["Larvacea"] == "app"


def test_a_label_with_two_aphia_ids_has_none(tmp_path: Path) -> None:
    path = manifest(tmp_path / "m.csv", "a", "a", "b", aphia_id=["1", "2", "3"])
    assert [(name.text, name.aphia_id) for name in read_names(path)] == [("a", ""), ("b", "3")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "\ufeffcopepod\r\n\r\n  egg<other \r\n"),
        ("bundle.json", json.dumps({"classes": ["copepod", "egg<other"], "backbone": "x"})),
        ("names.csv", "class\ncopepod\negg<other\n"),
    ],
)
def test_lists_of_names(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [each.text for each in read_names(tmp_path / name)] == ["copepod", "egg<other"]


def test_the_names_of_a_bundle(tiny_bundle: Path) -> None:
    classes = json.loads((tiny_bundle / "bundle.json").read_text())["classes"]
    assert [name.text for name in read_names(tiny_bundle)] == sorted(classes)


def test_a_list_is_not_put_into_the_map(tmp_path: Path) -> None:
    mid = manifest(tmp_path / "mid.csv", "copepod")
    (tmp_path / "names.txt").write_text("Copepod\nDot\n")
    suggest_taxonomy(mid, tmp_path / "names.txt", tmp_path / "t.csv")
    assert read_taxonomy(tmp_path / "t.csv") == {"copepod": "Copepod"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("absent.csv", None, "no such file"),
        ("absent.txt", None, "names come from a .csv or .parquet manifest"),
        ("m.csv", "object_id,image\n1,a\n", "names stand in a column label or class; found: obj"),
        ("m.csv", "label\n\"\"\n' '\n".replace("' '", " "), "no name to map"),
        ("n.txt", "\n \n", "has no names"),
        ("n.txt", b"\xff", "cannot be read as UTF-8"),
        ("b.json", "[1]", "bundle.json"),
        ("b.json", '{"classes": "copepod"}', "bundle.json"),
    ],
)
def test_sources_without_names(
    tmp_path: Path, name: str, text: str | bytes | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ManifestError, match=words):
        read_names(tmp_path / name)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    mid = manifest(tmp_path / "mid.csv", "a")
    with pytest.raises(UsageError, match=r"ends in \.csv"):
        suggest_taxonomy(mid, mid, tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="--near 0"):
        suggest_taxonomy(mid, mid, tmp_path / "t.csv", near=0)
    (tmp_path / "t.csv").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        suggest_taxonomy(mid, mid, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "mine"


def test_the_real_pair(shared_data: Path, tmp_path: Path) -> None:
    table = pd.read_csv(shared_data / "isiis_pwspc" / "all.csv", dtype=str, keep_default_na=False)
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(table[table["instrument"] == "ISIIS"]["label"].unique()))
    target = table[table["instrument"] == "PWSPC"]
    target.assign(label=target["original_label"]).to_csv(tmp_path / "target.csv", index=False)
    suggestion = suggest_taxonomy(tmp_path / "target.csv", classes, tmp_path / "t.csv")
    found = dict(zip(suggestion.table["label"], suggestion.table["class"], strict=True))
    truth = dict(zip(target["original_label"], target["label"], strict=True))
    for label in ("Chaetognatha", "Ctenophora", "Doliolida", "Oithona", "Pluteus", "Siphonophora"):
        assert found[label] == truth[label]
    sure = suggestion.table[(suggestion.table["check"] == "") & (suggestion.table["how"] != "")]
    assert all(truth[row.label] == row[2] for row in sure.itertuples())
    assert "Calanus" in suggestion_summary(suggestion)
    assert "Calanus" in suggestion.alone["label"].tolist()  # a genus is not found by its spelling
