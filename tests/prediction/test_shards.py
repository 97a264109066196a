"""n shards joined are one run, byte for byte, and nothing else is ever joined."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plankton_da.errors import BundleError, DataError, OutputError, UsageError
from plankton_da.prediction.folder import ClassifySummary, classify
from plankton_da.prediction.merge import MergeSummary, merge
from plankton_da.prediction.predictor import Predictor
from plankton_da.prediction.shards import Shard, parse_shard

Draw = Callable[[Path, int], Path]


def run(bundle: Path, out: Path, *inputs: Path, **options: Any) -> ClassifySummary:
    options = {"batch_size": 4, "progress": False, **options}
    return classify(bundle, inputs, out, **options)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """``in`` with 21 pictures, a zip of 3, and two that fail; ``m.csv`` with free columns."""
    lab = tmp_path_factory.mktemp("lab")
    for n in range(21):
        draw(lab / "in" / f"{n % 3}" / f'{n:02},"\n.png', n)
    (lab / "in" / "0" / "empty.png").touch()
    (lab / "in" / "text.jpg").write_text("text")
    with zipfile.ZipFile(lab / "in" / "z.zip", "w") as archive:
        for n in range(3):
            archive.write(draw(lab / "more" / f"{n}.png", 50 + n), f"{n}.png")
    (lab / "m.csv").write_text(
        "object_id,image,instrument,label,p_x,score_y,note\n"
        + "".join(f'id{n},more/{n}.png,CAM2,NA,{n},1.50,"a,\nb"\n' for n in range(3))
    )
    return lab


@pytest.fixture(scope="module")
def results(lab: Path, tiny_bundle: Path) -> Path:
    """``one.csv`` and ``one.parquet``, and both as three shards in a folder of their own."""
    for suffix in ("csv", "parquet"):
        options: dict[str, Any] = {"top_k": 2, "all_scores": True}
        inputs = (lab / "in", lab / "m.csv")
        run(tiny_bundle, lab / f"one_{suffix}.{suffix}", *inputs, **options)
        for n in (1, 2, 3):
            out = lab / "shards" / suffix / f"{n}.{suffix}"
            run(tiny_bundle, out, *inputs, shard=f"{n}/3", **options)
    return lab


def shards(results: Path, suffix: str, *numbers: int) -> list[Path]:
    return [results / "shards" / suffix / f"{n}.{suffix}" for n in numbers or (1, 2, 3)]


@pytest.mark.parametrize("joined", ["csv", "parquet"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_joined_shards_are_one_run_byte_for_byte(
    suffix: str, joined: str, results: Path, tmp_path: Path
) -> None:
    out = results / f"joined_{suffix}_{joined}.{joined}"
    summary = merge(shards(results, suffix, 2, 3, 1), out)
    assert out.read_bytes() == (results / f"one_{joined}.{joined}").read_bytes()
    assert (summary.images, summary.shards, summary.failed) == (29, 3, 2)
    assert summary.errors == {"empty_file": 1, "not_an_image": 1}
    told = json.loads(out.with_suffix(".run.json").read_text())
    one = json.loads((results / f"one_{joined}.run.json").read_text())
    assert told["inputs"] == one["inputs"] == ["in", "m.csv"]
    # shards may have run on several engines that give the same rows
    assert told["options"] == {k: v for k, v in one["options"].items() if k != "engine"}
    assert told["labels"] == one["labels"]
    assert len(told["shards"]) == len(told["runs"]) == 3


def test_each_image_is_in_exactly_one_shard(results: Path) -> None:
    counts = [
        json.loads(path.with_suffix(".run.json").read_text())["images"]
        for path in shards(results, "csv")
    ]
    assert counts == [12, 9, 8], "blocks of four: 0 to 3, 12 to 15 and 24 to 27 are the first's"


def test_more_shards_than_images(tiny_bundle: Path, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "in" / "a.png", 1)
    for suffix in ("csv", "parquet"):
        folder = tmp_path / suffix
        for n in (1, 2, 3):
            summary = run(tiny_bundle, folder / f"{n}.{suffix}", tmp_path / "in", shard=f"{n}/3")
            assert summary.images == (1 if n == 1 else 0)
            assert "images" in summary.words()
        run(tiny_bundle, folder / f"one.{suffix}", tmp_path / "in")
        merge([folder / f"{n}.{suffix}" for n in (3, 1, 2)], folder / f"all.{suffix}")
        one = (folder / f"one.{suffix}").read_bytes()
        assert (folder / f"all.{suffix}").read_bytes() == one


def test_a_shard_goes_on_like_any_run(tiny_bundle: Path, results: Path) -> None:
    def no_model() -> Predictor:
        raise AssertionError("the model was loaded")

    summary = run(
        tiny_bundle,
        results / "shards" / "csv" / "2.csv",
        *(results / "in", results / "m.csv"),
        **{"shard": "2/3", "top_k": 2, "all_scores": True, "open_predictor": no_model},
    )
    assert (summary.classified, summary.reused) == (0, 9)


def test_a_result_belongs_to_one_shard(tiny_bundle: Path, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "in" / "a.png", 1)
    run(tiny_bundle, tmp_path / "P.csv", tmp_path / "in", shard="1/2")
    with pytest.raises(BundleError, match=r"shard: 1/2 there, 2/2 now.*another --out"):
        run(tiny_bundle, tmp_path / "P.csv", tmp_path / "in", shard="2/2")


@pytest.fixture
def copies(results: Path, tmp_path: Path) -> list[Path]:
    """The three CSV shards, to be spoilt."""
    for path in (results / "shards" / "csv").glob("*.csv"):
        shutil.copy(path, tmp_path)
        shutil.copy(path.with_suffix(".run.json"), tmp_path / f"{path.stem}.run.json")
    return [tmp_path / f"{n}.csv" for n in (1, 2, 3)]


def retell(path: Path, **changes: Any) -> None:
    file = path.with_suffix(".run.json")
    told = json.loads(file.read_text())
    for name, value in changes.items():
        told[name] = {**told[name], **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(told))


def joined(paths: list[Path], **options: Any) -> MergeSummary:
    return merge(paths, paths[0].parent / "P.csv", **options)


def test_shards_that_are_missing_or_unfinished(copies: list[Path]) -> None:
    with pytest.raises(DataError, match="1 shards are not given: 2/3"):
        joined([copies[0], copies[2]])
    copies[1].write_text(copies[1].read_text() + "\n")
    copies[2].with_suffix(".run.json").unlink()
    with pytest.raises(DataError) as caught:
        joined([*copies, copies[0].parent / "4.csv"])
    words = str(caught.value)
    assert "3 of 4 cannot be joined" in words
    assert "2.csv: not finished, or changed" in words
    assert "3.csv: no 3.run.json beside it" in words
    assert "4.csv: no 4.run.json" in words
    assert not (copies[0].parent / "P.csv").exists()


def test_shards_of_different_work(copies: list[Path], results: Path) -> None:
    with pytest.raises(DataError, match="not made with --shard"):
        joined([*copies, results / "one_csv.csv"])
    retell(copies[1], options={"model": "f" * 64})
    with pytest.raises(BundleError, match=r"another model or other options \(model\)"):
        joined(copies)
    retell(copies[1], options=json.loads(copies[0].with_suffix(".run.json").read_text())["options"])
    retell(copies[1], shard={"count": 4})
    with pytest.raises(DataError, match=r"2\.csv is shard 2 of 4"):
        joined(copies)
    retell(copies[1], shard={"count": 3, "number": 1})
    with pytest.raises(DataError, match=r"2\.csv is shard 1 of 3"):
        joined(copies)
    retell(copies[1], shard={"number": 2, "object_ids_sha256": "0", "images_of_all": 30})
    with pytest.raises(DataError, match=r"(?s)added or removed.*2\.csv: 30 in all"):
        joined(copies)


def test_places_that_are_taken(copies: list[Path]) -> None:
    with pytest.raises(UsageError, match="one of the shards"):
        merge(copies, copies[0])
    with pytest.raises(UsageError, match="twice"):
        joined([*copies, copies[0]])
    joined(copies)
    with pytest.raises(OutputError, match="--overwrite"):
        joined(copies)
    joined(copies, overwrite=True)


def test_images_that_came_in_between_are_noticed_and_mended(
    tiny_bundle: Path, tmp_path: Path, draw: Draw
) -> None:
    for n in range(10):
        draw(tmp_path / "in" / f"{n}.png", n)
    outs = [tmp_path / f"{n}.csv" for n in (1, 2)]
    run(tiny_bundle, outs[0], tmp_path / "in", shard="1/2")
    draw(tmp_path / "in" / "00.png", 99)
    run(tiny_bundle, outs[1], tmp_path / "in", shard="2/2")
    with pytest.raises(DataError, match="only images without a row are classified"):
        joined(outs)
    again = run(tiny_bundle, outs[0], tmp_path / "in", shard="1/2")
    assert again.images + 4 == 11
    assert again.classified < again.images
    joined(outs)
    found = [line.split(",")[0] for line in (tmp_path / "P.csv").read_text().splitlines()[1:]]
    assert found == ["0.png", "00.png", *(f"{n}.png" for n in range(1, 10))]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "a/b", "-1/2", "1/0", "1/2/3", ""])
def test_shards_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match=r"1/8 to 8/8"):
        parse_shard(text, 4)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_divide_all_positions(count: int) -> None:
    all_of_them = [Shard(number, count, 4) for number in range(1, count + 1)]
    for position in range(100):
        assert sum(shard.has(position) for shard in all_of_them) == 1
