"""Full disks and places that cannot be written: exit code 2, and nothing half written stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]
MEGABYTE = 1 << 20


class Disk:
    """A file system of a few megabytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def leave(self, size: int) -> None:
        """Leave so many bytes free."""
        state = os.statvfs(self.folder)
        with self._filler.open("wb") as file:
            for _ in range((state.f_bavail * state.f_frsize - size) // 4096):
                file.write(bytes(4096))

    def make_room(self) -> None:
        self._filler.unlink()

    def names(self) -> list[str]:
        found = self.folder.rglob("*")
        files = (str(path.relative_to(self.folder)) for path in found if path.is_file())
        return sorted(set(files) - {"filler"})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk can only be mounted by root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={16 * MEGABYTE}", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def commands(drawn_lab: Path, finished_run: Path) -> dict[str, tuple[str, ...]]:
    """What writes small files, each to be given ``--out``."""
    images = str(drawn_lab / "archive" / "mid")
    return {
        "x.yaml": ("init", "dann"),
        "x.csv": ("manifest", "build", "folders", images, "--instrument", "I"),
        "x.parquet": ("manifest", "split", str(drawn_lab / "mid.csv")),
        "P.csv": ("classify", str(finished_run / "bundle"), images),
    }


@pytest.mark.parametrize("name", ["x.yaml", "x.csv", "x.parquet", "P.csv"])
def test_a_full_disk(
    name: str, disk: Disk, command: Run, commands: dict[str, tuple[str, ...]]
) -> None:
    out = disk.folder / name
    disk.leave(0)
    done = command(*commands[name], "--out", out)
    assert done.returncode == 2
    assert str(out) in done.stderr
    assert "no space left" in done.stderr.lower()
    left = [found for found in disk.names() if not found.startswith("P.csv.parts/")]
    assert left == [], "nothing half written"
    disk.make_room()
    done = command(*commands[name], "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.is_file()


def test_an_existing_file_outlives_a_full_disk(
    disk: Disk, command: Run, commands: dict[str, tuple[str, ...]]
) -> None:
    for name in ("x.yaml", "x.csv"):
        out = disk.folder / name
        assert command(*commands[name], "--out", out).returncode == 0
        before = out.read_bytes()
        disk.leave(0)
        assert command(*commands[name], "--out", out, "--overwrite").returncode == 2
        assert out.read_bytes() == before
        disk.make_room()


# A checkpoint of the tiny network takes 3.1 MB, its bundle 1.5 MB of weights and 1.6 MB of ONNX.
@pytest.mark.parametrize(
    ("room", "words", "left"),
    [
        (0, "run.json: cannot be written", ["run/lock"]),
        (
            MEGABYTE,
            "checkpoints/step_0000001.pt: the checkpoint cannot be",
            ["run/lock", "run/run.json"],
        ),
        (7 * MEGABYTE, "bundle: the bundle cannot be written", None),
        (8 * MEGABYTE, "bundle: the bundle cannot be written", None),
    ],
)
def test_a_disk_that_fills_up_while_training(
    room: int,
    words: str,
    left: list[str] | None,
    disk: Disk,
    train: Run,
    finished_run: Path,
) -> None:
    output_dir = disk.folder / "run"
    disk.leave(room)
    done = train(output_dir=output_dir)
    assert done.returncode == 2
    assert f"{output_dir}/{words}" in done.stderr
    assert "no space left" in done.stderr.lower()
    assert "--resume" in done.stderr
    checkpoints = [f"run/checkpoints/step_000000{step}.pt" for step in (1, 2)]
    assert disk.names() == ([*checkpoints, "run/lock", "run/run.json"] if left is None else left)
    disk.make_room()
    done = train("--resume", output_dir=output_dir)
    assert done.returncode == 0, done.stderr
    name = "model.safetensors"
    assert (output_dir / "bundle" / name).read_bytes() == (
        finished_run / "bundle" / name
    ).read_bytes()
    assert [found for found in disk.names() if "tmp" in found] == []


def test_a_disk_that_is_full_of_mlflow(disk: Disk, train: Run, tmp_path: Path) -> None:
    disk.leave(64 << 10)
    uri = f"sqlite:///{disk.folder}/mlflow.db"
    done = train(tracking__backend="mlflow", tracking__uri=uri)
    assert done.returncode in (2, 4)
    assert "mlflow.db" in done.stderr
    assert "make room" in done.stderr
    assert disk.names() == []
    assert not (tmp_path / "run").exists()


def test_no_room_for_decoded_images(
    disk: Disk, train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk.folder))
    disk.leave(40 << 10)  # of 64 KB
    done = train(data__cache="memory_map")
    assert done.returncode == 2
    assert str(disk.folder) in done.stderr
    assert "No space left on device" in done.stderr
    assert "data.cache: none" in done.stderr
    assert [found for found in disk.names() if not found.endswith(".npy")] == [], "a whole one"
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("words", [("list", "methods"), ("manifest", "check", "mid.csv")])
def test_stdout_on_a_full_disk(
    words: tuple[str, ...], process: Run, drawn_lab: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_lab, tmp_path, dirs_exist_ok=True)
    program = ("sh", "-c", 'exec "$@" > /dev/full', "sh")
    done = process(*words, program=program)
    assert done.returncode == 2
    assert done.stderr.startswith("plankton-da: stdout cannot be written: No space left on device")
    assert done.stderr.count("\n") == 1


# --- places that cannot be written, for every user, root included


@pytest.fixture
def no_folder(tmp_path: Path) -> Path:
    """A path under which nothing can be: a file stands in the way."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "below"


@pytest.mark.parametrize("name", ["x.yaml", "x.csv", "x.parquet", "P.csv"])
def test_a_file_where_a_folder_would_have_to_be(
    name: str, no_folder: Path, command: Run, commands: dict[str, tuple[str, ...]]
) -> None:
    done = command(*commands[name], "--out", no_folder / name)
    assert done.returncode == 2
    assert str(no_folder) in done.stderr
    assert "cannot be written" in done.stderr
    assert no_folder.parent.read_bytes() == b""


def test_an_output_dir_that_cannot_be_made_is_refused_before_the_images_are_read(
    no_folder: Path, train: Run
) -> None:
    done = train(output_dir=no_folder / "run")
    assert done.returncode == 2
    assert f"output_dir {no_folder}/run cannot be written: {no_folder.parent} is no" in done.stderr
    assert "--set output_dir=" in done.stderr
    assert "dark on light" not in done.stderr


def test_no_cache_is_no_obstacle(
    no_folder: Path, train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_folder))
    done = train(data__cache="auto")
    assert done.returncode == 0, done.stderr
    assert "decoded at every use" in done.stderr


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("name", ["x.yaml", "x.csv", "x.parquet", "P.csv", "run"])
def test_a_folder_without_permission(
    name: str, tmp_path: Path, command: Run, train: Run, commands: dict[str, tuple[str, ...]]
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    out = tmp_path / "locked" / name
    done = train(output_dir=out) if name == "run" else command(*commands[name], "--out", out)
    assert done.returncode == 2
    assert str(out) in done.stderr
    assert list((tmp_path / "locked").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs ulimit")
@pytest.mark.parametrize("name", ["x.yaml", "x.csv", "P.csv", "run"])
def test_a_limit_on_the_size_of_files(
    name: str,
    process: Run,
    train_words: Callable[..., list[str]],
    commands: dict[str, tuple[str, ...]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out" / name
    words = train_words(output_dir=out) if name == "run" else [*commands[name], "--out", str(out)]
    blocks = {"x.yaml": 0, "x.csv": 1, "P.csv": 1, "run": 1000}[name]  # of 512 bytes
    done = process(*words, program=("sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh"))
    assert done.returncode == 2, done.stderr
    assert str(out) in done.stderr
    assert "Traceback" not in done.stderr
    left = [path.name for path in out.parent.rglob("*") if path.is_file()]
    assert [found for found in left if found not in ("lock", "inputs.json", "run.json")] == []
