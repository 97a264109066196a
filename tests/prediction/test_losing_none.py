"""Whatever happens to images and folders, each image ends with one row, and the right one."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from plankton_da.errors import DataError, OutputError, UsageError
from plankton_da.prediction.folder import ClassifySummary, classify
from plankton_da.prediction.predictor import Predictor

Draw = Callable[[Path, int], Path]

FRAGILE = """
import ctypes, os, time
from PIL import Image

opened = Image.open

def open_or_die(file, *arguments, **options):
    path = getattr(file, "name", "")
    if isinstance(path, str) and os.path.basename(path).startswith("crash"):
        ctypes.string_at(0)
    if isinstance(path, str) and os.path.basename(path).startswith("hang"):
        time.sleep(1000)
    return opened(file, *arguments, **options)

Image.open = open_or_die
"""


@pytest.fixture
def images(tmp_path: Path, draw: Draw) -> Path:
    """Twelve pictures."""
    for n in range(12):
        draw(tmp_path / "in" / f"{n:02}.png", n)
    return tmp_path / "in"


def no_model() -> Predictor:
    raise AssertionError("the model was loaded")


def run(bundle: Path, images: Path, **options: Any) -> ClassifySummary:
    out = options.pop("out", images.parent / "P.csv")
    return classify(bundle, [images], out, progress=False, batch_size=4, **options)


def errors_of(out: Path) -> dict[str, str]:
    """object_id -> error code, of all rows, '' where there is none."""
    table = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert not table["object_id"].duplicated().any()
    assert ((table["label"] == "") == (table["error"] != "")).all()
    return dict(zip(table["object_id"], table["error"].str.partition(":")[0], strict=True))


def opening(bundle: Path, act: Callable[[], object]) -> Callable[[], Predictor]:
    """Opens the model after ``act``, which so happens when the inputs are being walked."""

    def opened() -> Predictor:
        act()
        return Predictor.open(bundle, batch_size=4)

    return opened


def test_crashes_and_hangs_are_rows_and_can_be_tried_again(
    tiny_bundle: Path, images: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(["03crash", "crash", "hang"]):
        draw(images / f"{name}.png", 50 + seed)
    fragile = images.parent / "fragile"
    fragile.mkdir()
    (fragile / "sitecustomize.py").write_text(FRAGILE)
    with monkeypatch.context() as context:
        context.syspath_prepend(fragile)
        summary = run(tiny_bundle, images, image_timeout=3.0)
    assert summary.errors == {"unreadable": 1, "timeout": 1}
    codes = errors_of(summary.out)
    assert len(codes) == 15
    assert {name: code for name, code in codes.items() if code} == {
        "crash.png": "unreadable",
        "hang.png": "timeout",
    }
    before = summary.out.read_bytes()
    assert run(tiny_bundle, images, open_predictor=no_model).failed == 2
    assert summary.out.read_bytes() == before
    again = run(tiny_bundle, images, retry_failed=True)
    assert (again.classified, again.reused, again.failed) == (2, 13, 0)
    assert set(errors_of(summary.out).values()) == {""}
    assert run(tiny_bundle, images, open_predictor=no_model).failed == 0, "the latest row counts"
    assert run(tiny_bundle, images, retry_failed=True, open_predictor=no_model).classified == 0


def test_what_still_fails_keeps_its_row(tiny_bundle: Path, images: Path) -> None:
    (images / "05.png").write_text("text")
    run(tiny_bundle, images)
    before = (images.parent / "P.csv").read_bytes()
    again = run(tiny_bundle, images, retry_failed=True)
    assert (again.classified, again.failed) == (1, 1)
    assert (images.parent / "P.csv").read_bytes() == before


def test_a_file_that_was_away_for_a_moment_is_tried_again_by_itself(
    tiny_bundle: Path, images: Path
) -> None:
    away = images.parent / "away.png"
    opened = opening(tiny_bundle, lambda: (images / "07.png").rename(away))
    summary = run(tiny_bundle, images, open_predictor=opened)
    assert summary.errors == {"missing": 1}
    gone = run(tiny_bundle, images)
    assert (gone.images, gone.failed) == (11, 0), "it is not in the folder"
    away.rename(images / "07.png")
    back = run(tiny_bundle, images)
    assert (back.classified, back.images, back.failed) == (1, 12, 0)
    assert run(tiny_bundle, images, open_predictor=no_model).images == 12


def test_a_lost_input_stops_the_run_and_costs_nothing(tiny_bundle: Path, images: Path) -> None:
    expected = run(tiny_bundle, images, out=images.parent / "undisturbed.csv").out.read_bytes()
    opened = opening(tiny_bundle, lambda: images.rename(images.parent / "unmounted"))
    with pytest.raises(DataError, match=r"not there any more.*the same command continues"):
        run(tiny_bundle, images, open_predictor=opened)
    assert not (images.parent / "P.csv").exists()
    with pytest.raises(DataError, match="no such file or folder"):
        run(tiny_bundle, images)
    (images.parent / "unmounted").rename(images)
    run(tiny_bundle, images)
    assert (images.parent / "P.csv").read_bytes() == expected


def test_an_input_that_is_empty_while_it_is_unmounted(tiny_bundle: Path, images: Path) -> None:
    run(tiny_bundle, images)
    before = (images.parent / "P.csv").read_bytes()
    images.rename(images.parent / "unmounted")
    images.mkdir()
    with pytest.raises(DataError, match="no image there"):
        run(tiny_bundle, images)
    assert (images.parent / "P.csv").read_bytes() == before


def test_a_lost_place_for_the_result(tiny_bundle: Path, images: Path) -> None:
    parts = images.parent / "P.csv.parts"
    with pytest.raises(OutputError, match=r"part-000001.parquet: cannot be written.*continues"):
        run(
            tiny_bundle,
            images,
            open_predictor=opening(tiny_bundle, lambda: shutil.rmtree(parts)),
        )
    assert run(tiny_bundle, images).classified == 12


def test_a_folder_to_sort_into_is_tried_before_the_work(tiny_bundle: Path, images: Path) -> None:
    (images.parent / "file").touch()
    place = images.parent / "file" / "sorted"
    with pytest.raises(OutputError, match=r"file/sorted: cannot be written"):
        run(tiny_bundle, images, sort_into=place, open_predictor=no_model)
    assert not (images.parent / "P.csv.parts").exists()


def test_damaged_archives_give_what_is_left(tiny_bundle: Path, images: Path) -> None:
    path = images / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(4):
            archive.write(images / f"{n:02}.png", f"{n}.png")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"3.png") + 50])
    run(tiny_bundle, images)
    codes = errors_of(images.parent / "P.csv")
    assert codes["z.zip"] == "archive_damaged"
    assert [codes[f"z.zip!{n}.png"] for n in range(3)] == ["", "", ""]
    assert len(codes) == 16


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_an_impossible_timeout(seconds: float, tiny_bundle: Path, images: Path) -> None:
    with pytest.raises(UsageError, match="--image-timeout"):
        run(tiny_bundle, images, image_timeout=seconds)


def test_images_of_another_camera_are_noticed(
    tiny_bundle: Path, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tiny_bundle, images, instrument="CAM2", out=images.parent / "right.csv")
    assert "another camera" not in caplog.text
    with caplog.at_level(logging.WARNING):
        run(tiny_bundle, images, instrument="CAM1", out=images.parent / "wrong.csv")
    (words,) = [line for line in caplog.messages if "another camera" in line]
    assert words == (
        "100% of the first 12 images show light organisms on dark ground, but those of CAM1 show "
        "dark organisms on light ground: another camera's? Labels would be worth little. If so, "
        "say --instrument (CAM2)"
    )


def test_compressed_tars_are_named(
    tiny_bundle: Path, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (images / "old.tar.gz").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        run(tiny_bundle, images)
    assert "passed over 1 compressed tars" in caplog.text
