from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images import members
from plankton_da.images.refs import decode_name, encode_name, open_image, ref_of

NASTY = [
    b"50%.png",
    b"100%41.png",
    b"a#1.png",
    b"wow!.png",
    b"two  blanks .png",
    b"line\nbreak.png",
    b"latin\xe9.png",
    "Göteborg_µm.png".encode(),
    b'quote"and,comma.png',
]


@given(st.binary(min_size=1))
def test_encoding_a_name_is_undone(name: bytes) -> None:
    text = encode_name(name)
    text.encode("utf-8")  # can stand in a UTF-8 file
    assert not set("#!\n\r\t") & set(text)
    assert os.fsencode(decode_name(text)) == name


def test_ordinary_names_stay_readable() -> None:
    assert encode_name("Ceratium fusus/img_001 µ.jpg") == "Ceratium fusus/img_001 µ.jpg"
    assert encode_name("50%!#") == "50%25%21%23"


def test_a_lone_percent_is_itself() -> None:
    assert decode_name("50%.jpg") == "50%.jpg"


@pytest.mark.parametrize("name", NASTY)
def test_every_file_name_can_be_referred_to(
    name: bytes, tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    path = tmp_path / "bin" / os.fsdecode(name)
    path.parent.mkdir()
    path.write_bytes(encode(copepod, "PNG"))
    for base in (tmp_path, tmp_path / "bin", tmp_path / "elsewhere" / "deep"):
        base.mkdir(parents=True, exist_ok=True)
        ref = ref_of(path, base)
        assert not os.path.isabs(ref)
        assert np.array_equal(np.asarray(open_image(ref, base)), copepod)


@pytest.mark.parametrize("name", NASTY)
def test_every_member_of_a_zip_in_a_zip_can_be_referred_to(
    name: bytes, tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    member = name.decode("utf-8", "replace")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, encode(copepod, "PNG"))
    with zipfile.ZipFile(tmp_path / "out!er.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sub/in#ner.zip", inner.getvalue())
        archive.writestr(member, encode(255 - copepod, "PNG"))
    outer = ref_of(tmp_path / "out!er.zip", tmp_path)
    once = open_image(f"{outer}!{encode_name(member)}", tmp_path)
    twice = open_image(f"{outer}!{encode_name('sub/in#ner.zip')}!{encode_name(member)}", tmp_path)
    assert np.array_equal(np.asarray(once), 255 - copepod)
    assert np.array_equal(np.asarray(twice), copepod)


@pytest.mark.parametrize("name", ["a#1.png", "wow!.png", "100%41.png"])
def test_a_hand_written_ref_may_be_the_plain_name(
    name: str, tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    (tmp_path / name).write_bytes(encode(copepod, "PNG"))
    assert np.array_equal(np.asarray(open_image(name, tmp_path)), copepod)


def test_a_ref_upwards_out_of_a_linked_folder_is_found(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    (tmp_path / "real" / "deep" / "manifests").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep" / "manifests")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encode(copepod, "PNG"))
    ref = ref_of(tmp_path / "images" / "a.png", tmp_path / "link")
    assert np.array_equal(np.asarray(open_image(ref, tmp_path / "link")), copepod)


def test_an_absolute_ref_ignores_the_root(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    (tmp_path / "a.png").write_bytes(encode(copepod, "PNG"))
    assert open_image(str(tmp_path / "a.png"), Path("/nowhere")).size == (64, 48)


def _code(ref: str, root: Path) -> str:
    with pytest.raises(ImageError) as caught:
        open_image(ref, root)
    assert str(root) not in caught.value.words  # comparable between machines
    return caught.value.code


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "text.jpg").write_text("not a picture")
    os.mkfifo(tmp_path / "pipe.jpg")  # opening one waits for a writer
    assert _code("absent.jpg", tmp_path) == "missing"
    assert _code("text.jpg/inside.jpg", tmp_path) == "missing"
    assert _code("nul%00.jpg", tmp_path) == "missing"
    assert _code("folder.jpg", tmp_path) == "not_an_image"
    assert _code("pipe.jpg", tmp_path) == "not_an_image"
    assert _code("x" * 300 + ".jpg", tmp_path) == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "secret.jpg").chmod(0)
    assert _code("secret.jpg", tmp_path) == "permission_denied"


def test_damaged_archives(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    (tmp_path / "text.zip").write_text("not an archive")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", encode(copepod, "PNG"))
        archive.writestr("empty.png", b"")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[100] ^= 0xFF
    (tmp_path / "flipped_bit.zip").write_bytes(data)
    (tmp_path / "truncated.zip").write_bytes(data[:200])
    assert _code("text.zip!a.png", tmp_path) == "archive_damaged"
    assert _code("truncated.zip!a.png", tmp_path) == "archive_damaged"
    assert _code("flipped_bit.zip!a.png", tmp_path) == "archive_damaged"
    assert _code("a.zip!absent.png", tmp_path) == "missing"
    assert _code("a.zip!absent.zip!a.png", tmp_path) == "missing"
    assert _code("absent.zip!a.png", tmp_path) == "missing"
    assert _code("a.zip!empty.png", tmp_path) == "empty_file"
    assert _code("a.zip!a.png!a.png", tmp_path) == "archive_damaged"


def test_a_member_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBER_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("honest.png", bytes(20_000))
        archive.writestr("liar.png", bytes(20_000))
    data = (tmp_path / "bomb.zip").read_bytes()
    start = data.rindex(b"PK\x01\x02")  # the liar's entry in the table of contents
    lie = data[: start + 24] + (5).to_bytes(4, "little") + data[start + 28 :]
    (tmp_path / "lie.zip").write_bytes(lie)
    assert _code("bomb.zip!honest.png", tmp_path) == "too_large"
    assert _code("lie.zip!liar.png", tmp_path) in ("archive_damaged", "not_an_image")


def test_a_changed_archive_is_opened_anew(
    tmp_path: Path, copepod: NDArray[np.uint8], encode: Callable[..., bytes]
) -> None:
    for pixels in (copepod, 255 - copepod):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("a.bmp", encode(pixels, "BMP"))
        os.utime(tmp_path / "a.zip", ns=(0, int(pixels[0, 0])))
        assert np.array_equal(np.asarray(open_image("a.zip!a.bmp", tmp_path)), pixels)


FORKED = """
import os, sys
from pathlib import Path
from plankton_da.images.refs import open_image
root = Path(sys.argv[1])
open_image("a.zip!0.png", root)  # the parent has the archive open
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        code = 0
        try:
            for turn in range(20):
                for n in range(8):
                    assert open_image(f"a.zip!{n}.png", root).getpixel((0, 0)) == n
        except BaseException:
            code = 1
        os._exit(code)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_forked_processes_read_one_archive_at_once(
    tmp_path: Path, encode: Callable[..., bytes]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for n in range(8):
            noise[0, 0] = n
            archive.writestr(f"{n}.png", encode(noise, "PNG"))
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], check=True, timeout=60)
