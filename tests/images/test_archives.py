"""Archives: zip, tar, one inside the other, damaged in every way, and bombs."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plankton_da.errors import ImageError
from plankton_da.images import archives, zips
from plankton_da.images.archives import opened_archive, read_member

FILES = {f"d/{n}.png": random.Random(n).randbytes(200 + 700 * n) for n in range(6)}


def zip_of(files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def streamed_zip_of(files: dict[str, bytes]) -> bytes:
    """As written to a pipe: sizes and CRC stand behind the data."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:  # type: ignore[no-untyped-def, override]
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return bytes(pipe.data)


def tar_of(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1000
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def code(path: Path, *members: str) -> str:
    with pytest.raises(ImageError) as caught:
        read_member(path, members)
    return caught.value.code


def read_or_code(path: Path, member: str) -> bytes | str:
    try:
        return read_member(path, (member,))
    except ImageError as error:
        return error.code


def names(path: Path, *inner: str) -> list[str]:
    return [member.name for member in opened_archive(path, inner).members()]


WRITERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "deflated.zip": zip_of,
    "stored.zip": lambda files: zip_of(files, zipfile.ZIP_STORED),
    "streamed.zip": streamed_zip_of,
    "pax.tar": tar_of,
    "gnu.tar": lambda files: tar_of(files, tarfile.GNU_FORMAT),
    "ustar.tar": lambda files: tar_of(files, tarfile.USTAR_FORMAT),
}


@pytest.mark.parametrize("name", WRITERS)
def test_members_are_what_was_put_in(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(WRITERS[name](FILES))
    assert opened_archive(path).damage == ""
    assert {member: read_member(path, (member,)) for member in names(path)} == FILES
    assert code(path, "d/none.png") == "missing"


@pytest.mark.parametrize("name", WRITERS)
def test_of_a_cut_archive_the_rest_is_read(name: str, tmp_path: Path) -> None:
    whole = WRITERS[name](FILES)
    path = tmp_path / name
    last = whole.index(b"d/5.png") if name.endswith("zip") else whole.index(FILES["d/5.png"])
    path.write_bytes(whole[: last + 2000])  # amid the data of the sixth
    damage = opened_archive(path).damage
    assert "5 whole members" in damage if name.endswith("zip") else "ends early" in damage
    for member in list(FILES)[:5]:
        assert read_member(path, (member,)) == FILES[member]
    assert code(path, "d/5.png") == "archive_damaged"


@pytest.mark.parametrize("name", WRITERS)
def test_damage_in_the_middle_costs_only_what_stands_there(name: str, tmp_path: Path) -> None:
    data = bytearray(WRITERS[name](FILES))
    start = data.index(b"d/2.png") - (0 if name.endswith("tar") else 30)
    data[start : start + 100] = bytes(range(1, 101))
    if name.endswith("zip"):
        data = data[: data.index(b"PK\x01\x02")]  # and no table of contents
    path = tmp_path / name
    path.write_bytes(data)
    assert opened_archive(path).damage
    found = {member for member in names(path) if member.startswith("d/")}
    assert found >= set(FILES) - {"d/2.png"}
    for member in set(FILES) - {"d/2.png"}:
        assert read_member(path, (member,)) == FILES[member]


def test_a_lost_table_of_contents_invents_nothing(tmp_path: Path) -> None:
    """A stored zip in a zip has headers of its own; folders and encrypted members are no files."""
    inner = zip_of({"inner.png": b"inner"}, zipfile.ZIP_STORED)
    whole = zip_of({"a.png": b"a", "b.zip": inner, "folder/": b""}, zipfile.ZIP_STORED)
    path = tmp_path / "lost.zip"
    path.write_bytes(whole[: whole.index(b"folder/") + 7])
    assert names(path) == ["a.png", "b.zip"]
    assert read_member(path, ("b.zip", "inner.png")) == b"inner"


@pytest.mark.parametrize(
    "content", [b"", b"PK nothing", b"I am text", bytes(3000), b"PK\x03\x04" + bytes(100)]
)
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_what_is_no_archive(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    if suffix == ".tar" and content == bytes(3000):
        assert names(path) == [], "nothing but the end mark"
    else:
        assert code(path, "a.png") == "archive_damaged"


def test_random_damage_never_breaks_out(tmp_path: Path) -> None:
    luck = random.Random(0)
    for name, write in WRITERS.items():
        whole = write(FILES)
        for turn in range(40):
            data = bytearray(whole)
            for _ in range(luck.randint(1, 30)):
                data[luck.randrange(len(data))] = luck.randrange(256)
            path = tmp_path / f"{turn}{name}"
            path.write_bytes(data[: luck.randint(1, len(data))])
            for member in FILES:
                found = read_or_code(path, member)
                codes = ("archive_damaged", "missing", "too_large")
                assert found == FILES[member] or found in codes or name.endswith(".tar"), (
                    "only tars have no checksums"
                )


def central(data: bytes, at: int, new: bytes) -> bytes:
    """A zip whose table of contents is changed from byte ``at`` of its first entry on."""
    start = data.index(b"PK\x01\x02") + at
    return data[:start] + new + data[start + len(new) :]


def test_a_member_without_a_name_is_none(tmp_path: Path) -> None:
    path = tmp_path / "nameless.zip"
    path.write_bytes(central(zip_of({"a": b"1", "b": b"2"}), 28, b"\0\0\1\0"))
    assert names(path) == ["b"]
    assert code(path, "") == "archive_damaged"


@pytest.mark.parametrize("offset", [10**6, 2**60, 2**63, 2**64 - 1])
def test_a_member_that_is_said_to_be_far_away(offset: int, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        far = zipfile.ZipInfo("far.png")
        far.extra = struct.pack("<HHQ", 1, 8, offset)  # zip64: where a long archive has it
        archive.writestr(far, b"1")
        archive.writestr("near.png", b"2")
    path = tmp_path / "far.zip"
    path.write_bytes(central(buffer.getvalue(), 42, b"\xff\xff\xff\xff"))
    assert code(path, "far.png") == "archive_damaged"
    assert read_member(path, ("near.png",)) == b"2"


def test_one_archive_in_another(tmp_path: Path) -> None:
    for outer in ("o.zip", "o.tar"):
        write = zip_of if outer.endswith("zip") else tar_of
        path = tmp_path / outer
        path.write_bytes(write({"i.zip": zip_of(FILES), "i.tar": tar_of(FILES)}))
        for inner in ("i.zip", "i.tar"):
            assert sorted(names(path, inner)) == sorted(FILES)
            assert read_member(path, (inner, "d/3.png")) == FILES["d/3.png"]
        assert code(path, "none.zip", "d/3.png") == "missing"


def test_links_and_repeated_names_in_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for data in (b"old", b"new"):
            info = tarfile.TarInfo("d/1.png")
            info.size = 3
            archive.addfile(info, io.BytesIO(data))
        for name, kind, target in [
            ("hard.png", tarfile.LNKTYPE, "d/1.png"),
            ("d/soft.png", tarfile.SYMTYPE, "../hard.png"),
            ("loop.png", tarfile.SYMTYPE, "loop.png"),
            ("out.png", tarfile.SYMTYPE, "../../etc/passwd"),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    assert opened_archive(path).damage == ""
    for name in ("d/1.png", "hard.png", "d/soft.png"):
        assert read_member(path, (name,)) == b"new"
    assert code(path, "loop.png") == "missing"
    assert code(path, "out.png") == "missing"


def test_tars_one_after_the_other_are_one(tmp_path: Path) -> None:
    path = tmp_path / "two.tar"
    path.write_bytes(tar_of({"a.png": b"a"}) + tar_of({"b.png": b"b"}))
    assert names(path) == ["a.png", "b.png"]
    assert opened_archive(path).damage == ""


def test_names_in_tars_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of({"\udce9t\udce9\n.png": b"x"}, tarfile.GNU_FORMAT))
    assert names(path) == ["\udce9t\udce9\n.png"]
    assert read_member(path, ("\udce9t\udce9\n.png",)) == b"x"


def test_bombs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plankton_da.images.members.MAX_MEMBER_BYTES", 10_000)
    monkeypatch.setattr(zips, "MAX_MEMBER_BYTES", 10_000)
    monkeypatch.setattr(archives, "_BOMB_BYTES", 50_000)
    bomb = zip_of({"zeros.png": bytes(100_000), "good.png": b"good"})
    (tmp_path / "bomb.zip").write_bytes(bomb)
    assert code(tmp_path / "bomb.zip", "zeros.png") == "too_large"
    assert read_member(tmp_path / "bomb.zip", ("good.png",)) == b"good"
    nested = zip_of({"inner.zip": zip_of({"a.png": bytes(200_000)}, zipfile.ZIP_STORED)})
    (tmp_path / "nested.zip").write_bytes(nested)
    assert code(tmp_path / "nested.zip", "inner.zip", "a.png") == "too_large"
    (tmp_path / "cut.zip").write_bytes(bomb[: bomb.index(b"PK\x01\x02")])
    assert names(tmp_path / "cut.zip") == ["good.png"], "without its table a bomb stays packed"
