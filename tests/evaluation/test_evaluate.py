from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, recall_score

from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.demo.drawing import TAXA
from plankton_da.errors import DataError, ManifestError
from plankton_da.evaluation.evaluate import classify_rows, evaluate, labelled_rows
from plankton_da.images.refs import open_image
from plankton_da.manifests.table import Manifest, read_manifest
from plankton_da.networks.bundle import Bundle
from plankton_da.prediction.predictor import Predictor

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def predictor(bundle: Bundle) -> Predictor:
    return Predictor(bundle, engine="torch", device="cpu")


def _manifest(path: Path, rows: Sequence[Mapping[str, str]]) -> Manifest:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_manifest(path)


def _said(predictor: Predictor, row: Mapping[str, str]) -> str:
    pixels = predictor.preprocess(open_image(row["image"], Path()), row["instrument"])
    return predictor.classes[int(predictor.probabilities(pixels[None], row["instrument"]).argmax())]


def test_scores_are_those_of_each_image_alone(
    tmp_path: Path, predictor: Predictor, manifest_rows: Rows
) -> None:
    order = np.random.default_rng(0).permutation(len(manifest_rows))
    mixed = [manifest_rows[i] for i in order]  # instruments interleaved
    document = evaluate(predictor, [_manifest(tmp_path / "m.csv", mixed)], "all")
    assert document["split"] == "all"
    assert list(document["instruments"]) == [TARGET_INSTRUMENT, MID_INSTRUMENT]
    for name, scores in (*document["instruments"].items(), (None, document["overall"])):
        mine = [row for row in manifest_rows if name in (None, row["instrument"])]
        labels = [row["label"] for row in mine]
        said = [_said(predictor, row) for row in mine]
        assert len(set(said)) > 1
        assert scores["n"] == len(mine)
        assert scores["accuracy"] == pytest.approx(accuracy_score(labels, said))
        present = sorted(set(labels))
        expected = recall_score(labels, said, labels=present, average="macro", zero_division=0)
        assert scores["macro_recall"] == pytest.approx(expected)
        low, high = scores["macro_recall_ci"]
        assert low <= scores["macro_recall"] <= high
        assert set(scores["per_class"]) == set(TAXA)
        assert scores["failed"] == 0
    json.dumps(document, allow_nan=False)


def test_several_manifests_are_the_same_as_one(
    tmp_path: Path, predictor: Predictor, manifest_rows: Rows
) -> None:
    whole = evaluate(predictor, [_manifest(tmp_path / "m.csv", manifest_rows)], "all")
    parts = [
        _manifest(tmp_path / f"{k}.csv", manifest_rows[k::2]) for k in range(2)
    ]  # the same object_id may stand in two manifests
    assert evaluate(predictor, parts, "all")["overall"] == whole["overall"]


def test_a_manifest_that_gives_no_row_is_named(
    tmp_path: Path, manifest_rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    mid = [row for row in manifest_rows if row["instrument"] == MID_INSTRUMENT]
    manifests = [_manifest(tmp_path / "m.csv", manifest_rows), _manifest(tmp_path / "n.csv", mid)]
    assert len(labelled_rows(manifests).table) == len(manifest_rows) - len(mid)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'n.csv'}: no row of split 'test'; passed over"
    ]


@pytest.mark.parametrize(
    ("asked", "splits", "scored"),
    [
        (None, {"test", "train"}, {"test"}),
        (None, {""}, {""}),
        ("train", {"test", "train"}, {"train"}),
        ("all", {"test", "train"}, {"test", "train"}),
    ],
)
def test_which_rows_are_scored(
    tmp_path: Path, manifest_rows: Rows, asked: str | None, splits: set[str], scored: set[str]
) -> None:
    rows = [{**row, "split": row["split"] if splits != {""} else ""} for row in manifest_rows]
    chosen = labelled_rows([_manifest(tmp_path / "m.csv", rows)], asked)
    assert set(chosen.table["split"]) == scored
    assert chosen.split == (asked or ("all" if scored == {""} else "test"))
    assert len(chosen.table) == sum(row["split"] in scored for row in rows)


def test_rows_without_label_are_passed_over(
    tmp_path: Path, predictor: Predictor, manifest_rows: Rows
) -> None:
    rows = [{**row, "label": row["label"] if k % 3 else ""} for k, row in enumerate(manifest_rows)]
    document = evaluate(predictor, [_manifest(tmp_path / "m.csv", rows)], "all")
    unlabelled = sum(row["label"] == "" for row in rows)
    assert document["unlabelled"] == unlabelled
    assert document["overall"]["n"] == len(rows) - unlabelled


def test_unknown_labels_are_counted_and_change_nothing_else(
    tmp_path: Path, predictor: Predictor, manifest_rows: Rows
) -> None:
    clean = evaluate(predictor, [_manifest(tmp_path / "m.csv", manifest_rows)], "all")
    target = next(row for row in manifest_rows if row["instrument"] == TARGET_INSTRUMENT)
    strange = [{**target, "object_id": f"s{k}", "label": "whale"} for k in range(3)]
    document = evaluate(
        predictor, [_manifest(tmp_path / "n.csv", [*manifest_rows, *strange])], "all"
    )
    assert document["instruments"][TARGET_INSTRUMENT].pop("unknown_labels") == {"whale": 3}
    assert document["overall"].pop("unknown_labels") == {"whale": 3}
    assert document["instruments"][MID_INSTRUMENT]["unknown_labels"] == {}
    clean["instruments"][TARGET_INSTRUMENT].pop("unknown_labels")
    clean["overall"].pop("unknown_labels")
    assert document == clean


def test_instrument_with_unknown_labels_alone_is_reported_with_n_0(
    tmp_path: Path, predictor: Predictor, manifest_rows: Rows
) -> None:
    rows = [
        {**row, "label": "whale"} if row["instrument"] == MID_INSTRUMENT else row
        for row in manifest_rows
    ]
    document = evaluate(predictor, [_manifest(tmp_path / "m.csv", rows)], "all")
    assert document["instruments"][MID_INSTRUMENT]["n"] == 0
    assert document["instruments"][MID_INSTRUMENT]["macro_recall"] is None


def test_images_that_fail_are_named_and_count_in_no_score(
    tmp_path: Path, predictor: Predictor, manifest_rows: Rows
) -> None:
    rows = [row for row in manifest_rows if row["instrument"] == TARGET_INSTRUMENT]
    broken = {**rows[1], "object_id": "broken", "image": "text.jpg"}
    absent = {**rows[2], "object_id": "absent", "image": "nowhere.png"}
    (tmp_path / "text.jpg").write_text("not an image")
    manifest = _manifest(tmp_path / "m.csv", [rows[0], broken, *rows[1:], absent])
    document = evaluate(predictor, [manifest])
    clean = evaluate(predictor, [_manifest(tmp_path / "n.csv", rows)])
    assert [failure["object_id"] for failure in document["failures"]] == ["broken", "absent"]
    codes = [failure["error"].partition(":")[0] for failure in document["failures"]]
    assert codes == ["not_an_image", "missing"]
    assert document["overall"] == {**clean["overall"], "failed": 2}


def test_rows_keep_their_order(tmp_path: Path, predictor: Predictor, manifest_rows: Rows) -> None:
    order = np.random.default_rng(1).permutation(len(manifest_rows))
    mixed = [manifest_rows[i] for i in order]
    chosen = labelled_rows([_manifest(tmp_path / "m.csv", mixed)], "all")
    rows = classify_rows(predictor, chosen.table)
    assert rows["object_id"].tolist() == [row["object_id"] for row in mixed]
    assert rows["true_label"].tolist() == [row["label"] for row in mixed]
    assert rows["label"].tolist() == [_said(predictor, row) for row in mixed]


def test_thresholds_lower_coverage(tmp_path: Path, bundle: Bundle, manifest_rows: Rows) -> None:
    manifest = _manifest(tmp_path / "m.csv", manifest_rows)
    info = bundle.info.model_copy(update={"thresholds": dict.fromkeys(TAXA, 1.1)})
    strict = Predictor(replace(bundle, info=info), engine="torch", device="cpu")
    scores = evaluate(strict, [manifest], "all")["overall"]
    assert scores["coverage"] == scores["accuracy"] == 0.0
    assert scores["ece"] is None


def test_taxonomy_renames_and_drops(
    tmp_path: Path, predictor: Predictor, manifest_rows: Rows
) -> None:
    """Labels in the lab's own words, medusae not wanted."""
    renamed = [{**row, "label": row["label"].upper()} for row in manifest_rows]
    lines = [f"{name.upper()},{name if name != 'medusa' else ''}" for name in TAXA]
    taxonomy = tmp_path / "t.csv"
    taxonomy.write_text("\n".join(["label,class", *lines]))
    mapped = evaluate(predictor, [_manifest(tmp_path / "m.csv", renamed)], "all", taxonomy)
    without = [row for row in manifest_rows if row["label"] != "medusa"]
    plain = evaluate(predictor, [_manifest(tmp_path / "n.csv", without)], "all")
    assert mapped.pop("dropped") == {"MEDUSA": len(renamed) - len(without)}
    assert plain.pop("dropped") == {}
    assert mapped == plain
    taxonomy.write_text("label,class\nCOPEPOD,copepod\n")
    with pytest.raises(ManifestError, match="MEDUSA"):
        evaluate(predictor, [read_manifest(tmp_path / "m.csv")], "all", taxonomy)
    taxonomy.write_text("\n".join(["label,class", *(f"{name.upper()}," for name in TAXA)]))
    with pytest.raises(DataError, match="drops every label"):
        evaluate(predictor, [read_manifest(tmp_path / "m.csv")], "all", taxonomy)


@pytest.mark.parametrize(
    ("change", "split", "words"),
    [
        ({}, "val", r"no row of split 'val'\. Splits: .*train 18.*--split"),
        ({"label": ""}, None, r"none of the 24 rows of split 'test' has a label.*column label"),
        ({"label": "whale"}, None, r"Labels: whale 24\. Classes: append.*--taxonomy"),
        ({"instrument": "ZooScan"}, None, r"ZooScan.*drawn_darkfield"),
    ],
    ids=["other_split", "no_labels", "foreign_labels", "foreign_instrument"],
)
def test_nothing_to_score(
    tmp_path: Path,
    predictor: Predictor,
    manifest_rows: Rows,
    change: dict[str, str],
    split: str | None,
    words: str,
) -> None:
    manifest = _manifest(tmp_path / "m.csv", [{**row, **change} for row in manifest_rows])
    with pytest.raises(DataError, match=words):
        evaluate(predictor, [manifest], split)


def test_no_image_can_be_read(tmp_path: Path, predictor: Predictor, manifest_rows: Rows) -> None:
    rows = [{**row, "image": f"{k}.png"} for k, row in enumerate(manifest_rows)]
    with pytest.raises(DataError, match=r"none of the 42 labelled .* 0\.png: missing"):
        evaluate(predictor, [_manifest(tmp_path / "m.csv", rows)], "all")


def test_more_images_than_a_chunk(tmp_path: Path, predictor: Predictor) -> None:
    Image.new("L", (8, 8), 200).save(tmp_path / "gray.png")
    rows = [
        {"object_id": str(k), "image": "gray.png", "instrument": MID_INSTRUMENT, "label": "medusa"}
        for k in range(600)
    ]
    scores = evaluate(predictor, [_manifest(tmp_path / "m.csv", rows)])["overall"]
    assert scores["n"] == 600
    assert scores["accuracy"] in (0.0, 1.0)
