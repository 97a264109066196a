"""Damaged images are rows with their reason, strange ones are classified; training names them."""

from __future__ import annotations

import csv
import json
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Ended = subprocess.CompletedProcess[str]
Rows = list[dict[str, str]]
Run = Callable[..., Ended]

BAD = {
    "empty.png": "empty_file",
    "huge.png": "too_large",
    "text.jpg": "not_an_image",
    "truncated.jpg": "truncated",
    "truncated.png": "truncated",
}


def write_bad_images(folder: Path) -> None:
    folder.mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8))
    (folder / "empty.png").touch()
    (folder / "huge.png").write_bytes(gray_png(20_000, 20_000))
    (folder / "text.jpg").write_text("object_id,image\n")
    for suffix in ("jpg", "png"):
        path = folder / f"truncated.{suffix}"
        noise.save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])


def gray_png(width: int, height: int) -> bytes:
    """400 megapixels in some hundred kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(1)
    row = bytes(width + 1)
    lines = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    )


def write_strange_images(folder: Path) -> int:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    gray = Image.fromarray(pixels)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: a quarter turn
    Image.new("L", (1, 1), 100).save(folder / "one_pixel.png")
    Image.fromarray(pixels.astype(np.uint16) * 200).save(folder / "sixteen_bit.png")
    Image.fromarray(pixels.astype(np.uint16) * 200).save(folder / "sixteen_bit.tif")
    Image.fromarray(pixels.astype(np.float32) / 255).save(folder / "float.tif")
    gray.convert("P").save(folder / "palette.png")
    gray.convert("RGB").quantize(8).save(folder / "palette.gif")
    gray.convert("CMYK").save(folder / "cmyk.jpg")
    gray.convert("RGBA").save(folder / "alpha.png")
    gray.convert("LA").save(folder / "gray_alpha.png")
    gray.convert("1").save(folder / "one_bit.png")
    gray.save(folder / "exif_rotated.jpg", exif=turned)
    return 11


def read_rows(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_damaged_images_are_rows_with_their_reason(
    command: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    write_bad_images(tmp_path / "in")
    Image.new("L", (20, 20), 90).save(tmp_path / "in" / "good.png")
    done = command("classify", tiny_bundle, "in", "--out", "P.csv", "--json")
    assert done.returncode == 5
    assert "5 of 6 images failed" in done.stderr
    assert json.loads(done.stdout)["failed"] == 5
    rows = {row["object_id"]: row for row in read_rows(tmp_path / "P.csv")}
    assert sorted(rows) == sorted([*BAD, "good.png"])
    for name, code in BAD.items():
        assert rows[name]["error"].startswith(f"{code}: "), name
        assert rows[name]["label"] == rows[name]["score"] == ""
    assert "20000 x 20000" in rows["huge.png"]["error"]
    assert rows["good.png"]["label"]
    assert rows["good.png"]["error"] == ""
    arguments = ("classify", tiny_bundle, "in", "--out", "P.csv")
    assert command(*arguments).returncode == 5, "also when nothing is left to do"
    assert command(*arguments, "--allow-failures").returncode == 0


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_strange_images_are_good_images(
    engine: str, command: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    count = write_strange_images(tmp_path / "in")
    done = command("classify", tiny_bundle, "in", "--out", "P.csv", "--engine", engine)
    assert done.returncode == 0, done.stderr
    rows = read_rows(tmp_path / "P.csv")
    assert len(rows) == count
    assert [row["object_id"] for row in rows if not row["label"] or row["error"]] == []


@pytest.fixture
def spoilt(
    tmp_path: Path, rows_of: Callable[[str], Rows], write_rows: Callable[[str, Rows], Path]
) -> Rows:
    """``mid.csv`` with five bad images and ``target.csv`` with one; mid's rows.

    Both manifests have an object_id ``00000.png``, and both of these are bad.
    """
    write_bad_images(tmp_path / "bad")
    mid, target = rows_of("mid"), rows_of("target")
    for number, name in enumerate(BAD):
        mid[9 * number]["image"] = str(tmp_path / "bad" / name)
    mid[0]["object_id"] = target[0]["object_id"] = "00000.png"
    (tmp_path / "bad" / "other.png").write_bytes(b"")
    target[0]["image"] = str(tmp_path / "bad" / "other.png")
    write_rows("mid.csv", mid)
    write_rows("target.csv", target)
    return mid


def test_training_stops_at_bad_images_of_both_instruments(
    train: Run, spoilt: Rows, tmp_path: Path
) -> None:
    done = train(data__mid="mid.csv", data__target="target.csv")
    assert done.returncode == 3
    assert "6 of 64 images cannot be read" in done.stderr
    for name, code in (BAD | {"other.png": "empty_file"}).items():
        assert f"{tmp_path}/bad/{name}: {code}: " in done.stderr, name
    assert "data.on_bad_image: skip" in done.stderr
    assert not (tmp_path / "run").exists()


def test_training_leaves_bad_images_out_if_told_so(
    train: Run, spoilt: Rows, tmp_path: Path
) -> None:
    done = train(
        "--json", data__mid="mid.csv", data__target="target.csv", data__on_bad_image="skip"
    )
    assert done.returncode == 0, done.stderr
    assert "6 of 64 images cannot be read" in done.stderr
    assert done.stderr.count(f"{tmp_path}/bad/other.png: empty_file") == 1, "named once"
    assert "Mend or remove them" not in done.stderr, "they are left out already"
    assert "6 images did not decode and were left out" in json.loads(done.stdout)["diagnosis"]
    named = json.loads((tmp_path / "run" / "bad_images.json").read_text())
    assert {Path(path).name: why.split(":")[0] for path, why in named.items()} == (
        BAD | {"other.png": "empty_file"}
    )


def test_a_class_whose_images_are_all_bad_is_not_learnt_silently(
    train: Run,
    rows_of: Callable[[str], Rows],
    write_rows: Callable[[str, Rows], Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "empty.png").touch()
    rows = [
        row | {"image": str(tmp_path / "empty.png")} if row["label"] == "medusa" else row
        for row in rows_of("mid")
    ]
    write_rows("mid.csv", rows)
    done = train(data__mid="mid.csv", data__on_bad_image="skip")
    assert done.returncode == 3
    assert "no training image that can be read of: medusa" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_instrument_without_a_readable_image(
    train: Run,
    rows_of: Callable[[str], Rows],
    write_rows: Callable[[str, Rows], Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "empty.png").touch()
    write_rows(
        "target.csv",
        [row | {"image": str(tmp_path / "empty.png")} for row in rows_of("target")],
    )
    done = train(data__target="target.csv", data__on_bad_image="skip")
    assert done.returncode == 3
    assert "DARK: none of 16" in done.stderr
    assert "empty_file" in done.stderr
    assert not (tmp_path / "run").exists()
