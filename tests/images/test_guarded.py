"""Images that hang, or kill the process that decodes them, cost themselves and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from plankton_da.errors import ImageError
from plankton_da.images.guarded import GuardedDecoders, Wanted
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.images.refs import open_image

Draw = Callable[[Path, int], Path]

PREPROCESS = Preprocess(image_size=24, instruments={"CAM": InstrumentLook()})

FRAGILE = """
import ctypes, os, signal, time
from PIL import Image

opened = Image.open

def open_or_die(file, *arguments, **options):
    path = getattr(file, "name", "")
    name = os.path.basename(path) if isinstance(path, str) else ""
    if name.startswith("crash"):
        ctypes.string_at(0)
    if name.startswith("hang"):
        time.sleep(1000)
    if name.startswith("devour"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("once") and not os.path.exists(path + ".seen"):
        open(path + ".seen", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("loud"):
        print("I am a library that prints", flush=True)
        os.write(1, b"and one that writes")
    return opened(file, *arguments, **options)

Image.open = open_or_die
"""
"""as a decoder with faults would: it really dies"""


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Child processes decode with faults; a folder for images."""
    (tmp_path / "fragile").mkdir()
    (tmp_path / "fragile" / "sitecustomize.py").write_text(FRAGILE)
    monkeypatch.syspath_prepend(tmp_path / "fragile")
    return tmp_path


def opened(root: Path, *, count: int = 1, timeout: float = 60.0) -> GuardedDecoders:
    return GuardedDecoders(PREPROCESS, root, count, timeout)


def codes_of(decoders: GuardedDecoders, *refs: str) -> list[str]:
    """The error's code of each image, '' where it was decoded."""
    found = decoders.decode([Wanted(ref, "CAM") for ref in refs])
    return [each.code if isinstance(each, ImageError) else "" for each in found]


def decoded_here(ref: str, root: Path) -> NDArray[np.uint8] | ImageError:
    try:
        return PREPROCESS(open_image(ref, root), "CAM")
    except ImageError as error:
        return error


def draw_all(draw: Draw, folder: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        draw(folder / name, seed)


def test_pixels_and_problems_are_those_of_this_process(tmp_path: Path, draw: Draw) -> None:
    draw_all(draw, tmp_path, "a.png", "b.png", "cut.png", "ü\n%41.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "empty.png").touch()
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "b.png", "in/b.png")
        archive.writestr("text.png", "text")
    refs = ["a.png", "cut.png", "z.zip!in/b.png", "empty.png", "z.zip!text.png", "z.zip!no.png"]
    refs += ["gone.png", "ü%0A%2541.png", "gone.zip!a.png", str(tmp_path / "b.png")]
    with opened(tmp_path, count=2) as decoders:
        found = decoders.decode([Wanted(ref, "CAM") for ref in refs])
        assert decoders.decode([]) == []
    for ref, each in zip(refs, found, strict=True):
        expected = decoded_here(ref, tmp_path)
        if isinstance(expected, ImageError):
            assert str(each) == str(expected)
        else:
            assert not isinstance(each, ImageError), ref
            np.testing.assert_array_equal(each, expected)
    codes = [each.code if isinstance(each, ImageError) else "" for each in found]
    assert codes == [
        *("", "truncated", "", "empty_file", "not_an_image", "missing"),
        *("missing", "", "missing", ""),
    ]


def test_many_archive_members_are_sent_a_few_at_a_time(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plankton_da.images.guarded_decoder._GROUP_BYTES", 500)
    draw_all(draw, tmp_path, *(f"{n}.png" for n in range(9)))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for n in range(9):
            archive.write(tmp_path / f"{n}.png", f"{n}.png")
    with opened(tmp_path) as decoders:
        inside = decoders.decode([Wanted(f"z.zip!{n}.png", "CAM") for n in range(9)])
        outside = decoders.decode([Wanted(f"{n}.png", "CAM") for n in range(9)])
    np.testing.assert_array_equal(np.stack(inside), np.stack(outside))  # type: ignore[arg-type]


def test_a_crash_costs_one_image(fragile: Path, draw: Draw) -> None:
    draw_all(draw, fragile, "a.png", "b.png", "crash.png", "c.png", "crash2.png", "crash3.png")
    with opened(fragile) as decoders:
        refs = ["a.png", "b.png", "crash.png", "c.png", "crash2.png", "crash3.png", "a.png"]
        found = decoders.decode([Wanted(ref, "CAM") for ref in refs])
        assert codes_of(decoders, "a.png") == [""], "and the next question is answered"
    codes = [each.code if isinstance(each, ImageError) else "" for each in found]
    assert codes == ["", "", "unreadable", "", "unreadable", "unreadable", ""]
    assert str(found[2]) == "unreadable: the decoder crashes on it (SIGSEGV, twice)"
    np.testing.assert_array_equal(found[6], found[0])  # type: ignore[arg-type]


def test_what_is_killed_for_its_memory_is_too_large(fragile: Path, draw: Draw) -> None:
    draw_all(draw, fragile, "a.png", "devour.png", "b.png")
    with opened(fragile) as decoders:
        assert codes_of(decoders, "a.png", "devour.png", "b.png") == ["", "too_large", ""]


def test_a_death_that_does_not_repeat_costs_nothing(fragile: Path, draw: Draw) -> None:
    draw_all(draw, fragile, "a.png", "once.png", "once2.png", "b.png")
    with opened(fragile) as decoders:
        assert codes_of(decoders, "a.png", "once.png", "once2.png", "b.png") == [""] * 4
    assert (fragile / "once.png.seen").exists()


def test_a_hanging_image_costs_its_time_and_one_row(fragile: Path, draw: Draw) -> None:
    draw_all(draw, fragile, "a.png", "hang.png", "b.png", "crash.png")
    with opened(fragile, timeout=1.0) as decoders:
        codes_of(decoders, "a.png")
        started = time.monotonic()
        found = decoders.decode([Wanted(ref, "CAM") for ref in ("a.png", "hang.png", "b.png")])
        assert 1.0 <= time.monotonic() - started < 20
    assert str(found[1]) == "timeout: decoding it took over 1 seconds"
    assert not any(isinstance(found[place], ImageError) for place in (0, 2))


def test_a_process_that_prints_answers_all_the_same(
    fragile: Path, draw: Draw, capfd: pytest.CaptureFixture[str]
) -> None:
    draw_all(draw, fragile, "loud.png", "a.png")
    with opened(fragile) as decoders:
        assert codes_of(decoders, "loud.png", "a.png") == ["", ""]
    assert capfd.readouterr().out == "", "nor is our own stdout touched"


def test_closing_does_not_wait_for_an_image_that_hangs(fragile: Path, draw: Draw) -> None:
    draw_all(draw, fragile, "a.png", "hang.png")
    seen: list[BaseException] = []

    def ask() -> None:
        try:
            codes_of(decoders, "a.png", "hang.png")
        except CancelledError as error:
            seen.append(error)

    with opened(fragile) as decoders:
        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(1.5)
        started = time.monotonic()
        decoders.close()
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert time.monotonic() - started < 5
    assert len(seen) == 1


ORPHANING = """
import os, sys, threading
from pathlib import Path
from plankton_da.images.guarded import GuardedDecoders, Wanted
from plankton_da.images.preprocess import InstrumentLook, Preprocess
preprocess = Preprocess(image_size=24, instruments={"CAM": InstrumentLook()})
with GuardedDecoders(preprocess, Path(sys.argv[1]), 1, 60.0) as decoders:
    decoders.decode([Wanted("a.png", "CAM")])
    print(decoders._all[0]._process.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_no_process_outlives_a_killed_parent(tmp_path: Path, draw: Draw) -> None:
    draw_all(draw, tmp_path, "a.png")
    command = [sys.executable, "-c", ORPHANING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    child = int(done.stdout)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in done.stderr


@pytest.fixture
def no_leaks() -> Iterator[None]:
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def test_all_processes_are_gone_at_the_end(no_leaks: None, tmp_path: Path, draw: Draw) -> None:
    draw_all(draw, tmp_path, "a.png")
    with opened(tmp_path, count=3) as decoders:
        assert codes_of(decoders, "a.png") == [""]
    with opened(tmp_path, count=3):
        pass  # the first is still starting
