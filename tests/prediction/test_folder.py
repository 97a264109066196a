"""The local driver: one input, one row; the same command again goes on."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from plankton_da.errors import BundleError, DataError, ImageError, OutputError, UsageError
from plankton_da.images.refs import open_image
from plankton_da.manifests.table import read_manifest
from plankton_da.networks.bundle import read_bundle
from plankton_da.prediction.folder import ClassifySummary, classify
from plankton_da.prediction.predictions import COLUMNS
from plankton_da.prediction.predictor import Predictor

Draw = Callable[[Path, int], Path]


@pytest.fixture
def images(tmp_path: Path, draw: Draw) -> Path:
    """Ten pictures in two folders, and three that fail."""
    folder = tmp_path / "in"
    for n in range(10):
        draw(folder / ("a" if n % 2 else "b") / f"{n}.png", n)
    (folder / "a" / "empty.jpg").touch()
    (folder / "a" / "text.jpg").write_text("I am text")
    whole = draw(tmp_path / "whole.png", 99).read_bytes()
    (folder / "b" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    return folder


def no_model() -> Predictor:
    raise AssertionError("the model was loaded")


def run(bundle: Path, *inputs: Path, out: Path, **options: Any) -> ClassifySummary:
    return classify(bundle, inputs, out, progress=False, **options)


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_one_input_one_row(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    summary = run(tiny_bundle, images, out=tmp_path / "out" / "P.csv")
    table = read(tmp_path / "out" / "P.csv")
    assert tuple(table.columns) == COLUMNS
    expected = sorted(p.relative_to(images).as_posix() for p in images.rglob("*.*"))
    assert list(table["object_id"]) == expected
    assert ((table["label"] == "") != (table["error"] == "")).all()
    failed = table[table["error"] != ""].set_index("object_id")["error"]
    assert {name: words.split(":")[0] for name, words in failed.items()} == {
        "a/empty.jpg": "empty_file",
        "a/text.jpg": "not_an_image",
        "b/truncated.png": "truncated",
    }
    assert all(": " in words and words.split(":")[0] in ImageError.CODES for words in failed)
    assert (summary.images, summary.classified, summary.failed) == (13, 13, 3)
    assert sum(summary.labels.values()) == 10
    assert summary.errors == {"empty_file": 1, "not_an_image": 1, "truncated": 1}
    assert json.loads(json.dumps(summary.to_json()))["failed"] == 3
    assert "copepod" in summary.words() or "medusa" in summary.words()


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_scores_are_those_of_the_network(
    engine: str, tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    run(tiny_bundle, images, out=tmp_path / "P.parquet", engine=engine, all_scores=True, top_k=2)
    table = read(tmp_path / "P.parquet")
    good = table[table["error"] == ""]
    predictor = Predictor(read_bundle(tiny_bundle), engine="torch")
    pixels = [predictor.preprocess(open_image(ref, tmp_path), "CAM2") for ref in good["image"]]
    expected = predictor.probabilities(np.stack(pixels), "CAM2")
    found = good[["p_copepod", "p_medusa", "p_NA"]].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert list(good["label"]) == [predictor.classes[k] for k in found.argmax(axis=1)]
    np.testing.assert_array_equal(good["score"], found.max(axis=1))
    np.testing.assert_array_equal(good["score_2"], np.sort(found, axis=1)[:, 1])
    assert table["score"].isna().sum() == 3


def test_finished_work_is_not_repeated_and_needs_no_model(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "P.csv"
    first = run(tiny_bundle, images, out=out)
    before = out.stat()
    again = run(tiny_bundle, images, out=out, open_predictor=no_model)
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert out.stat().st_ino == before.st_ino
    assert (again.classified, again.reused, again.images) == (0, 13, 13)
    assert (again.labels, again.errors) == (first.labels, first.errors)
    assert again.engine == first.engine == "onnx"


def test_new_changed_and_removed_images(
    tiny_bundle: Path, images: Path, tmp_path: Path, draw: Draw
) -> None:
    out = tmp_path / "P.csv"
    run(tiny_bundle, images, out=out)
    draw(images / "a" / "00.png", 50)
    draw(images / "a" / "text.jpg", 51)
    os.utime(images / "a" / "3.png", ns=(1, 1))
    (images / "b" / "2.png").unlink()
    summary = run(tiny_bundle, images, out=out)
    assert (summary.classified, summary.reused, summary.images) == (3, 10, 13)
    fresh = tmp_path / "fresh.csv"
    run(tiny_bundle, images, out=fresh)
    found, expected = read(out), read(fresh)
    assert list(found["object_id"]) == list(expected["object_id"])
    assert list(found["label"]) == list(expected["label"])
    assert list(found["error"]) == list(expected["error"])


def test_a_damaged_part_is_made_again(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "P.csv"
    run(tiny_bundle, images, out=out, batch_size=4, part_rows=4)
    whole = out.read_bytes()
    parts = sorted((tmp_path / "P.csv.parts").glob("part-*.parquet"))
    assert len(parts) == 4
    parts[1].write_bytes(parts[1].read_bytes()[:100])
    out.unlink()
    summary = run(tiny_bundle, images, out=out, batch_size=4, part_rows=4)
    assert summary.classified == 4
    assert out.read_bytes() == whole


def test_a_lost_result_is_merged_again_without_the_model(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "P.parquet"
    run(tiny_bundle, images, out=out)
    whole = out.read_bytes()
    out.unlink()
    run(tiny_bundle, images, out=out, open_predictor=no_model)
    assert out.read_bytes() == whole


@pytest.mark.parametrize("change", [{"top_k": 2}, {"all_scores": True}, {"views": 4}])
def test_other_options_are_refused(
    change: dict[str, Any], tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "P.csv"
    run(tiny_bundle, images, out=out)
    whole = out.read_bytes()
    with pytest.raises(BundleError, match="another --out, or --overwrite"):
        run(tiny_bundle, images, out=out, **change)
    assert out.read_bytes() == whole
    summary = run(tiny_bundle, images, out=out, overwrite=True, **change)
    assert summary.classified == 13
    assert run(tiny_bundle, images, out=out, **change).classified == 0


def test_another_bundle_is_refused(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    import shutil

    out = tmp_path / "P.csv"
    run(tiny_bundle, images, out=out)
    other = shutil.copytree(tiny_bundle, tmp_path / "other")
    info = json.loads((other / "bundle.json").read_text())
    (other / "bundle.json").write_text(json.dumps({**info, "temperature": 2.0}))
    with pytest.raises(BundleError, match="model: "):
        run(other, images, out=out)


def test_somebody_elses_file_is_not_replaced(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "P.csv"
    out.write_text("theirs")
    with pytest.raises(OutputError, match="--overwrite"):
        run(tiny_bundle, images, out=out, open_predictor=no_model)
    assert out.read_text() == "theirs"
    run(tiny_bundle, images, out=out, overwrite=True)
    out.write_text(out.read_text() + "edited\n")
    with pytest.raises(OutputError, match="was changed since"):
        run(tiny_bundle, images, out=out)
    assert out.read_text().endswith("edited\n")


def test_inputs_may_join_but_not_leave(
    tiny_bundle: Path, images: Path, tmp_path: Path, draw: Draw
) -> None:
    out = tmp_path / "P.csv"
    more = draw(tmp_path / "more" / "x.png", 5).parent
    run(tiny_bundle, images, more, out=out)
    third = draw(tmp_path / "third" / "x.png", 6).parent
    assert run(tiny_bundle, images, more, third, out=out).classified == 1
    with pytest.raises(OutputError, match=r"more.*name them too"):
        run(tiny_bundle, images, third, out=out)


def test_predictions_are_a_manifest(
    tiny_bundle: Path, images: Path, tmp_path: Path, draw: Draw
) -> None:
    table = pd.DataFrame(
        {
            "object_id": ["007", "NA", "gone"],
            "image": ["b/0.png", "a/1.png", "nowhere.png"],
            "instrument": ["CAM2", "CAM1", "CAM2"],
            "label": ["copepod", "NA", ""],
            "depth_m": ["1.50", "NA", ""],
        }
    )
    table.to_csv(images / "m.csv", index=False)
    out = tmp_path / "results" / "P.csv"
    summary = run(tiny_bundle, images / "m.csv", out=out)
    assert summary.errors == {"missing": 1}
    first = read(out)
    assert list(first.columns) == [*COLUMNS, "true_label", "depth_m"]
    assert list(first["object_id"]) == ["007", "NA", "gone"]
    assert list(first["instrument"]) == ["CAM2", "CAM1", "CAM2"]
    assert list(first["true_label"]) == ["copepod", "NA", ""]
    assert list(first["depth_m"]) == ["1.50", "NA", ""]
    assert first["image"][0] == "../in/b/0.png"
    manifest = read_manifest(out)
    assert list(manifest.table["object_id"]) == ["007", "NA", "gone"]
    elsewhere = tmp_path / "Q.parquet"
    run(tiny_bundle, out, out=elsewhere)
    second = read(elsewhere)
    assert list(second.columns) == list(first.columns)
    assert list(second["true_label"]) == ["copepod", "NA", ""]
    assert list(second["label"]) == list(first["label"])
    assert second["image"][0] == "in/b/0.png"
    assert read_manifest(elsewhere).table["image"][0] == "in/b/0.png"


def test_a_manifests_other_columns_may_change_without_the_model(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    path = images / "m.csv"
    path.write_text("object_id,image,instrument,label\nx,b/0.png,CAM2,copepod\n")
    out = tmp_path / "P.csv"
    run(tiny_bundle, path, out=out)
    path.write_text("object_id,image,instrument,label\nx,b/0.png,CAM2,medusa\n")
    run(tiny_bundle, path, out=out, open_predictor=no_model)
    assert list(read(out)["true_label"]) == ["medusa"]


def test_folders_manifests_files_and_zips_together(
    tiny_bundle: Path, images: Path, tmp_path: Path, draw: Draw
) -> None:
    (images / "m.csv").write_text("object_id,image,instrument,depth\nx,b/0.png,CAM2,5\n")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(images / "b" / "0.png", "sub/0.png")
    single = draw(tmp_path / "single.png", 0)
    inputs = (images / "a", images / "m.csv", tmp_path / "z.zip", single)
    run(tiny_bundle, *inputs, out=tmp_path / "P.csv")
    table = read(tmp_path / "P.csv")
    assert list(table["object_id"][-3:]) == ["x", "z.zip/sub/0.png", "single.png"]
    assert table["object_id"][0] == "a/1.png"
    assert list(table["depth"]) == [""] * 7 + ["5", "", ""]
    assert len(set(table["score"][-3:])) == 1, "the same picture, three ways"


def test_instrument_decides_the_look(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    run(tiny_bundle, images, out=tmp_path / "target.csv")
    run(tiny_bundle, images, out=tmp_path / "mid.csv", instrument="CAM1")
    target, mid = read(tmp_path / "target.csv"), read(tmp_path / "mid.csv")
    assert set(target["instrument"]) == {"CAM2"}
    assert set(mid["instrument"]) == {"CAM1"}
    good = target["error"] == ""
    assert (target["score"][good] != mid["score"][good]).all()
    with pytest.raises(DataError, match=r"CAM7.*CAM1, CAM2"):
        run(tiny_bundle, images, out=tmp_path / "x.csv", instrument="CAM7")
    with pytest.raises(BundleError, match="--engine auto or torch"):
        run(tiny_bundle, images, out=tmp_path / "y.csv", instrument="CAM1", engine="onnx")


def test_batches_do_not_depend_on_failures_before_them(
    tiny_bundle: Path, images: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Watched(Predictor):
        def probabilities(self, pixels, instrument):  # type: ignore[no-untyped-def]
            seen.append(len(pixels))
            return super().probabilities(pixels, instrument)

    def opened() -> Predictor:
        return Watched.open(tiny_bundle, batch_size=4)

    run(tiny_bundle, images, out=tmp_path / "P.csv", open_predictor=opened)
    assert seen == [4, 2, 4], "b/truncated.png is alone in the last four"


def test_sorting(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    run(tiny_bundle, images, out=tmp_path / "P.csv", sort_into=tmp_path / "sorted")
    table = read(tmp_path / "P.csv")
    good = table[table["error"] == ""]
    expected = {
        f"{label}/{name.replace('/', '__')}"
        for label, name in zip(good["label"], good["object_id"], strict=True)
    }
    found = {str(p.relative_to(tmp_path / "sorted")) for p in (tmp_path / "sorted").rglob("*.png")}
    assert found == expected
    with pytest.raises(UsageError, match="would classify the copies"):
        run(tiny_bundle, images, out=tmp_path / "Q.csv", sort_into=images / "sorted")


def test_nothing_to_classify(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image"):
        run(tiny_bundle, tmp_path / "empty", out=tmp_path / "P.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("name", ["P.xlsx", "P"])
def test_impossible_names(name: str, tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        run(tiny_bundle, images, out=tmp_path / name)


def test_a_folder_as_out(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "P.csv").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        run(tiny_bundle, images, out=tmp_path / "P.csv")


def test_the_instrument_that_is_assumed_is_said(
    tiny_bundle: Path,
    tmp_path: Path,
    draw: Callable[[Path, int], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    draw(tmp_path / "in" / "a.png", 0)
    with caplog.at_level(logging.INFO):
        classify(tiny_bundle, [tmp_path / "in"], tmp_path / "p.csv", progress=False)
    (words,) = [line for line in caplog.messages if "without a manifest" in line]
    assert "as images of CAM2, the bundle's target; for CAM1 say --instrument" in words
    caplog.clear()
    with caplog.at_level(logging.INFO):
        classify(
            tiny_bundle, [tmp_path / "in"], tmp_path / "q.csv", instrument="CAM1", progress=False
        )
    assert not [line for line in caplog.messages if "without a manifest" in line]
    made = json.loads((tmp_path / "p.run.json").read_text())
    assert made["bundle_folder"] == str(tiny_bundle.resolve())
