"""Which images are chosen to be labelled, and that labels find their way back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plankton_da.errors import DataError, ManifestError, OutputError, UsageError
from plankton_da.evaluation.audit import select_images
from plankton_da.evaluation.audit_strategies import STRATEGIES, Candidates
from plankton_da.images.refs import open_image
from plankton_da.manifests.ingest import build_manifest
from plankton_da.manifests.table import read_manifest, write_manifest

CLASSES = ("copepod", "living<other", "medusa")
Predictions = Callable[..., Path]


def candidates(labels: list[str], seed: int = 0, taken: tuple[int, ...] = ()) -> Candidates:
    random = np.random.default_rng(seed)
    scores = random.dirichlet(np.ones(3), len(labels)).astype(np.float32)
    ordered = np.sort(scores, axis=1)
    held = np.isin(np.arange(len(labels)), taken)
    return Candidates(np.array(labels, object), ordered[:, 2] - ordered[:, 1], scores, held)


@pytest.fixture
def predictions(tmp_path: Path, draw: Callable[[Path, int], Path]) -> Predictions:
    """``predictions(images=12, failed=2)``: ``sea/P.csv`` as classify writes it, labels in turn."""

    def write(images: int = 12, failed: int = 0, name: str = "P.csv", **columns: object) -> Path:
        scores = np.random.default_rng(0).dirichlet(np.ones(3), images)
        for k in range(images):
            draw(tmp_path / "sea" / "haul" / f"{k}.png", k)
        labels = [CLASSES[k % 3] for k in range(images)]
        bad = np.arange(images) >= images - failed
        table = pd.DataFrame(
            {
                "object_id": [f"haul/{k}.png" for k in range(images)],
                "image": [f"haul/{k}.png" for k in range(images)],
                "instrument": "NEW",
                "label": np.where(bad, "", labels),
                "score": np.where(bad, "", scores.max(1).astype(str)),
                "raw_label": np.where(bad, "", labels),
                "raw_score": np.where(bad, "", scores.max(1).astype(str)),
                "error": np.where(bad, "truncated: cut off", ""),
                **columns,
            }
        )
        write_manifest(table, tmp_path / "sea" / name)
        return tmp_path / "sea" / name

    return write


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_image_twice_none_that_is_taken_and_the_same_again(name: str) -> None:
    found = candidates(list("aabbbbccccccccc"), taken=(3, 14))
    first, again = (STRATEGIES[name](found, 9, np.random.default_rng(5)) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert len(set(first.tolist())) == 9
    assert not {3, 14} & set(first.tolist())


def test_balanced_takes_as_many_of_each_and_shares_out_what_a_class_lacks() -> None:
    found = candidates(["a"] * 2 + ["b"] * 50 + ["c"] * 500)
    chosen = STRATEGIES["balanced"](found, 30, np.random.default_rng(0))
    assert Counter(found.labels[chosen]) == {"a": 2, "b": 14, "c": 14}
    odd = STRATEGIES["balanced"](found, 31, np.random.default_rng(0))
    assert sorted(Counter(found.labels[odd]).values()) == [2, 14, 15]


def test_balanced_is_uniform_within_a_class() -> None:
    found = candidates(["a"] * 4 + ["b"] * 4)
    times = np.zeros(8)
    for seed in range(800):
        times[STRATEGIES["balanced"](found, 2, np.random.default_rng(seed))] += 1
    np.testing.assert_allclose(times, 200, atol=50)


def test_uncertain_takes_the_smallest_margins() -> None:
    found = candidates(["a"] * 40)
    chosen = STRATEGIES["uncertain"](found, 7, np.random.default_rng(0))
    assert set(chosen) == set(np.argsort(found.margins)[:7])


def test_coverage_is_greedy_k_center_and_earlier_images_count() -> None:
    found = candidates(["a"] * 30, taken=(4,))
    points = np.sqrt(found.scores.astype(np.float64))
    centers = [4]
    for _ in range(5):
        distance = np.min([((points - points[c]) ** 2).sum(1) for c in centers], axis=0)
        centers.append(int(distance.argmax()))
    assert STRATEGIES["coverage"](found, 5, np.random.default_rng(0)).tolist() == centers[1:]


def test_a_manifest_ready_to_be_labelled(predictions: Predictions, tmp_path: Path) -> None:
    path = predictions(
        12, failed=3, group="g1", label_2="medusa", score_2="0.1", true_label="copepod"
    )
    out = tmp_path / "audit" / "A.csv"
    selection = select_images(path, out, images=6)
    audit = read_manifest(out)
    assert list(audit.table.columns) == [
        *("object_id", "image", "instrument", "label"),
        *("predicted_label", "predicted_score", "group"),
    ]
    assert len(audit.table) == selection.images == 6
    assert (audit.table["label"] == "").all()
    assert (
        selection.picked
        == dict.fromkeys(CLASSES, 2)
        == dict(audit.table["predicted_label"].value_counts().sort_index())
    )
    assert not {f"haul/{k}.png" for k in (9, 10, 11)} & set(audit.table["object_id"]), "failed"
    for ref in audit.table["image"]:
        open_image(ref, audit.root)


def test_what_an_earlier_audit_holds_is_never_chosen_again(
    predictions: Predictions, tmp_path: Path
) -> None:
    path = predictions(12)
    first, second, third = (tmp_path / f"A{k}.csv" for k in (1, 2, 3))
    select_images(path, first, images=5)
    earlier = read_manifest(first).table
    renamed = earlier.assign(object_id=[f"x{k}" for k in range(len(earlier))], label="copepod")
    write_manifest(renamed, tmp_path / "renamed.csv")  # other ids, the same images
    select_images(path, second, images=5, exclude=[tmp_path / "renamed.csv"])
    selection = select_images(path, third, images=5, exclude=[first, second])
    assert selection.excluded == 10
    assert selection.images == 2, "all that are left"
    ids = [id for path in (first, second, third) for id in read_manifest(path).table["object_id"]]
    assert sorted(ids) == sorted(f"haul/{k}.png" for k in range(12))
    with pytest.raises(DataError, match="no image left"):
        select_images(path, tmp_path / "A4.csv", images=5, exclude=[first, second, third])


@pytest.mark.parametrize("spelling", ["--top-k", "--all-scores"])
def test_margins_come_from_the_second_score(predictions: Predictions, spelling: str) -> None:
    scores = np.array([[0.5, 0.45, 0.05], [0.4, 0.2, 0.4], [0.45, 0.1, 0.45], [0.36, 0.33, 0.31]])
    scores[2] = [0.8, 0.1, 0.1]
    best = np.sort(scores, axis=1)
    columns: dict[str, object] = {"raw_score": best[:, 2].astype(str)}
    if spelling == "--top-k":
        columns |= {"label_2": "medusa", "score_2": best[:, 1].astype(str)}
    else:
        columns |= {f"p_{name}": scores[:, k].astype(str) for k, name in enumerate(CLASSES)}
    path = predictions(4, **columns)
    out = path.with_name("A.csv")
    select_images(path, out, images=2, strategy="uncertain")
    assert set(read_manifest(out).table["object_id"]) == {"haul/1.png", "haul/3.png"}


def test_sorted_copies_come_back_with_their_ids(predictions: Predictions, tmp_path: Path) -> None:
    out, folder = tmp_path / "A.csv", tmp_path / "to_sort"
    select_images(predictions(12, group="g1"), out, images=9, copy_to=folder)
    audit = read_manifest(out).table.set_index("object_id")
    assert sorted(path.name for path in folder.iterdir()) == [
        ".copies.csv",
        *("copepod", "living%3Cother", "medusa"),
    ]
    moved = sorted((folder / "medusa").iterdir())[0]
    (folder / "egg").mkdir()
    shutil.move(moved, folder / "egg" / moved.name)
    back = tmp_path / "elsewhere" / "labelled.csv"
    build_manifest("folders", [folder], "NEW", back)
    labelled = read_manifest(back)
    table = labelled.table.set_index("object_id")
    assert sorted(table.index) == sorted(audit.index)
    expected = audit["predicted_label"].to_dict() | {moved.name.replace("__", "/"): "egg"}
    assert table["label"].to_dict() == expected
    assert (table["predicted_label"] == audit["predicted_label"].loc[table.index]).all()
    assert (table["group"] == "g1").all()
    for object_id, row in table.iterrows():
        ours = np.asarray(open_image(row["image"], labelled.root))
        theirs = np.asarray(open_image(audit.loc[object_id, "image"], tmp_path))
        np.testing.assert_array_equal(ours, theirs)
    again = select_images(tmp_path / "sea" / "P.csv", tmp_path / "B.csv", images=9, exclude=[back])
    assert again.excluded == 9


def test_ids_that_differ_by_a_slash_or_capitals_are_told_apart(
    predictions: Predictions, tmp_path: Path
) -> None:
    ids = ["a/1.png", "a__1.png", "A__1.png"]
    path = predictions(3, object_id=ids)
    select_images(path, tmp_path / "A.csv", images=3, copy_to=tmp_path / "c")
    names = [path.name for path in (tmp_path / "c").rglob("*.png")]
    assert len({name.casefold() for name in names}) == 3
    build_manifest("folders", [tmp_path / "c"], "NEW", tmp_path / "b.csv")
    table = read_manifest(tmp_path / "b.csv").table
    assert sorted(table["object_id"]) == sorted(ids)
    for object_id, image in zip(table["object_id"], table["image"], strict=True):
        expected = open_image(f"sea/haul/{ids.index(object_id)}.png", tmp_path)
        np.testing.assert_array_equal(open_image(image, tmp_path), expected)


def test_an_image_in_two_folders_is_asked_about(predictions: Predictions, tmp_path: Path) -> None:
    select_images(predictions(3), tmp_path / "A.csv", images=3, copy_to=tmp_path / "c")
    shutil.copy(tmp_path / "c" / "medusa" / "haul__2.png", tmp_path / "c" / "copepod")
    with pytest.raises(ManifestError, match=r"in several folders: copepod/haul__2\.png, medusa"):
        build_manifest("folders", [tmp_path / "c"], "NEW", tmp_path / "b.csv")


def test_copies_know_their_camera(predictions: Predictions, tmp_path: Path) -> None:
    select_images(predictions(3), tmp_path / "A.csv", images=3, copy_to=tmp_path / "c")
    with pytest.raises(UsageError, match="copies of images of NEW"):
        build_manifest("folders", [tmp_path / "c"], "OTHER", tmp_path / "b.csv")


def test_files_beside_the_copies_keep_their_own_ids(
    predictions: Predictions, tmp_path: Path, draw: Callable[[Path, int], Path]
) -> None:
    select_images(predictions(3), tmp_path / "A.csv", images=3, copy_to=tmp_path / "c")
    draw(tmp_path / "c" / "medusa" / "own.png", 9)
    draw(tmp_path / "plain" / "medusa" / "other.png", 9)
    build_manifest("folders", [tmp_path / "c", tmp_path / "plain"], "NEW", tmp_path / "b.csv")
    ids = set(read_manifest(tmp_path / "b.csv").table["object_id"])
    own = {"c/medusa/own.png", "plain/medusa/other.png"}
    assert ids == {f"haul/{k}.png" for k in range(3)} | own


def test_a_folder_that_is_in_use_is_left_alone(predictions: Predictions, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("notes")
    with pytest.raises(OutputError, match="not empty"):
        select_images(predictions(3), tmp_path / "A.csv", images=3, copy_to=tmp_path / "c")
    assert not (tmp_path / "A.csv").exists()
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["mine.txt"]


def test_an_image_that_is_gone_leaves_nothing_half_done(
    predictions: Predictions, tmp_path: Path
) -> None:
    path = predictions(3)
    (tmp_path / "sea" / "haul" / "1.png").unlink()
    with pytest.raises(OutputError, match=r"haul/1\.png"):
        select_images(path, tmp_path / "A.csv", images=3, copy_to=tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sea"]


def test_impossible_wishes_say_the_way_out(predictions: Predictions, tmp_path: Path) -> None:
    path, out = predictions(3), tmp_path / "A.csv"
    with pytest.raises(UsageError, match="classify --all-scores"):
        select_images(path, out, images=2, strategy="coverage")
    with pytest.raises(UsageError, match="did you mean balanced"):
        select_images(path, out, images=2, strategy="balance")
    with pytest.raises(UsageError, match="--n 0"):
        select_images(path, out, images=0)
    write_manifest(read_manifest(path).table[["object_id", "image", "instrument"]], out)
    with pytest.raises(ManifestError, match="no column label, score"):
        select_images(out, tmp_path / "B.csv", images=2)
    with pytest.raises(OutputError, match="exists already"):
        select_images(path, out, images=2)
    write_manifest(read_manifest(path).table.assign(raw_score="high"), tmp_path / "bad.csv")
    with pytest.raises(ManifestError, match="not a number"):
        select_images(tmp_path / "bad.csv", tmp_path / "B.csv", images=2)


def test_the_result_in_words_and_as_json(predictions: Predictions, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    selection = select_images(predictions(12), tmp_path / "A.csv", images=6, copy_to=folder)
    document = json.loads(selection.to_json())
    assert document["images"] == 6
    assert document["available"] == dict.fromkeys(CLASSES, 4)
    assert f"manifest build folders {folder} --instrument NEW" in selection.words()
