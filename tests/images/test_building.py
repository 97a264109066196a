"""Building memory maps, seen from outside: real processes, killed or out of disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from plankton_da.errors import DataError
from plankton_da.images.cache import open_pixels
from plankton_da.images.decoder import Decoder
from plankton_da.images.decoding_process import DecodingProcess
from plankton_da.images.preprocess import Preprocess

BUILD = """
import os, sys
from pathlib import Path
from plankton_da.images import parallel
from plankton_da.images.cache import open_pixels
from plankton_da.images.preprocess import InstrumentLook, Preprocess
parallel._MANY = int(sys.argv[2])
root = Path(sys.argv[1])
refs = [f"images/{n % 70}.png" for n in range(int(sys.argv[3]))]
steps = Preprocess(image_size=32, instruments={"shadow": InstrumentLook()})
source = open_pixels(refs, root, "shadow", steps, folder=root / "cache", workers=2)
print(source.path, source.read(69).max())
"""


def _run(root: Path, many: int, rows: int, **options: Any) -> subprocess.CompletedProcess[str]:
    script = root / "no_main_guard.py"
    script.write_text(BUILD)
    command = [sys.executable, str(script), str(root), str(many), str(rows)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("many", [1, 10**9], ids=["processes", "threads"])
def test_a_script_without_a_main_guard(many: int, refs: list[str], tmp_path: Path) -> None:
    ran = _run(tmp_path, many, 200)
    assert ran.stderr == ""
    assert ran.stdout.split()[1] == "70"
    assert len(ran.stdout.splitlines()) == 1  # it ran once


@pytest.mark.parametrize("many", [1, 10**9], ids=["processes", "threads"])
def test_a_full_disk_is_said(many: int, refs: list[str], tmp_path: Path) -> None:
    import resource

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    ran = _run(tmp_path, many, 200, preexec_fn=small_disk)
    assert "plankton_da.errors.OutputError" in ran.stderr
    assert "They take 0.00 GB; make room" in ran.stderr
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("many", [1, 10**9], ids=["processes", "threads"])
def test_a_build_killed_at_any_time_leaves_no_wrong_map(
    many: int, refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    rows = 40_000
    script = tmp_path / "build.py"
    script.write_text(BUILD)
    folder = tmp_path / "cache"
    command = [sys.executable, str(script), str(tmp_path), str(many), str(rows)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as build:
        waited_until = time.monotonic() + 60
        while not any(path.stat().st_size > 300_000 for path in folder.glob("*.building")):
            assert build.poll() is None
            assert time.monotonic() < waited_until
            time.sleep(0.01)
        children = psutil.Process(build.pid).children()
        build.kill()
    assert build.returncode == -signal.SIGKILL
    assert list(folder.glob("*.npy")) == []
    assert len(list(folder.glob("*.building"))) == 1
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert len(gone) == (2 if many == 1 else 0)

    open_pixels(refs, tmp_path, "shadow", preprocess, folder=folder)
    leftover = next(folder.glob("*.building"))
    os.utime(leftover, (0, 0))  # nobody wrote to it for hours
    Image.new("L", (23, 30), 99).save(tmp_path / "images" / "3.png")
    source = open_pixels(refs, tmp_path, "shadow", preprocess, folder=folder)
    assert source.read(3).max() == 99
    assert not leftover.exists()


def test_a_decoding_process_that_dies_is_reported(
    refs: list[str], tmp_path: Path, preprocess: Preprocess
) -> None:
    with DecodingProcess(Decoder(refs, tmp_path, "shadow", preprocess)) as process:
        assert process.decode_block(range(3), None, 0) == []
        process._process.kill()
        with pytest.raises(DataError, match=r"died \(exit code -9\).*images/5.png.*images/8.png"):
            process.decode_block(range(5, 9), None, 0)


def test_opencv_starts_no_threads() -> None:
    code = """
import cv2
import plankton_da.images.decoding_process
decoding = cv2.getNumThreads()
import plankton_da.images.augment
print(decoding, cv2.getNumThreads())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "1"]
