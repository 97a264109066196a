"""kill -9, Ctrl-C and a full disk at any moment: the same command again ends as if undisturbed."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

Draw = Callable[[Path, int], Path]

PROGRAM = """
import os, signal, sys
from pathlib import Path
from plankton_da.prediction.folder import classify

deadly = int(os.environ.get("KILL_AT_REPLACEMENT", 0))
replace, calls = os.replace, 0

def replace_or_die(*paths):
    global calls
    calls += 1
    if calls == (deadly + 1) // 2 and deadly % 2:
        os.kill(os.getpid(), signal.SIGKILL)  # the new file is whole but does not have its name yet
    replace(*paths)
    if calls == (deadly + 1) // 2:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace_or_die
bundle, folder, out = map(Path, sys.argv[1:])
summary = classify(bundle, [folder], out, batch_size=8, part_rows=16, progress=False)
print(summary.classified)
"""


def command(bundle: Path, folder: Path, out: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(bundle), str(folder), str(out)]


def run(
    bundle: Path, folder: Path, out: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(bundle, folder, out),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def rows_in_parts(out: Path) -> int:
    parts = out.with_name(f"{out.name}.parts").glob("part-*.parquet")
    return sum(pq.read_metadata(part).num_rows for part in parts)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """120 pictures, every tenth truncated."""
    folder = tmp_path_factory.mktemp("images") / "in"
    for n in range(120):
        path = draw(folder / f"{n % 3}" / f"{n:03}.png", n)
        if n % 10 == 0:
            path.write_bytes(path.read_bytes()[:100])
    return folder


@pytest.fixture(scope="module")
def undisturbed(tiny_bundle: Path, images: Path) -> dict[str, bytes]:
    """What a run that nothing disturbs writes, by suffix; beside the images, as the others."""
    found = {}
    for suffix in (".csv", ".parquet"):
        out = images.parent / f"undisturbed_{suffix[1:]}{suffix}"
        done = run(tiny_bundle, images, out)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "120\n"
        found[suffix] = out.read_bytes()
    return found


def test_killed_before_and_after_each_file_gets_its_name(
    tiny_bundle: Path, images: Path, undisturbed: dict[str, bytes]
) -> None:
    out = images.parent / "chain.csv"
    finished = 0
    for kills in range(6):
        done = run(tiny_bundle, images, out, KILL_AT_REPLACEMENT=str(3 + kills % 2))
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert rows_in_parts(out) >= finished, "finished work is kept"
        finished = rows_in_parts(out)
    assert finished > 16
    done = run(tiny_bundle, images, out)
    assert done.stdout == f"{120 - finished}\n"
    assert out.read_bytes() == undisturbed[".csv"]


@pytest.mark.parametrize("moment", range(1, 21))
@pytest.mark.slow
def test_killed_at_each_replacement(
    moment: int, tiny_bundle: Path, images: Path, undisturbed: dict[str, bytes]
) -> None:
    out = images.parent / f"moment{moment}.parquet"
    done = run(tiny_bundle, images, out, KILL_AT_REPLACEMENT=str(moment))
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = rows_in_parts(out)
    done = run(tiny_bundle, images, out)
    assert int(done.stdout) == 120 - before
    assert out.read_bytes() == undisturbed[".parquet"]


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="3"), pytest.param(25, id="25", marks=pytest.mark.slow)]
)
def test_killed_at_random_moments(
    kills: int, tiny_bundle: Path, images: Path, undisturbed: dict[str, bytes]
) -> None:
    out = images.parent / f"random{kills}.csv"
    moments = random.Random(kills)
    started = time.monotonic()
    assert run(tiny_bundle, images, images.parent / f"timed{kills}.csv").returncode == 0
    usual = time.monotonic() - started  # this machine's, at this hour
    killed = 0
    while killed < kills:
        process = subprocess.Popen(
            command(tiny_bundle, images, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(moments.uniform(0.4, 1.0) * usual)
        if process.poll() is None:
            process.kill()
            killed += 1
        process.communicate()
        if out.exists():
            assert out.read_bytes() == undisturbed[".csv"], "never a partial file"
            if killed < kills:  # from the beginning, at other moments
                out.unlink()
                shutil.rmtree(out.with_name(f"{out.name}.parts"))
    done = run(tiny_bundle, images, out)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == undisturbed[".csv"]
    assert rows_in_parts(out) == 120, "nothing was classified twice"


def test_ctrl_c_keeps_what_was_done(
    tiny_bundle: Path, images: Path, undisturbed: dict[str, bytes]
) -> None:
    out = images.parent / "interrupted.csv"
    process = subprocess.Popen(
        command(tiny_bundle, images, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(out.parent.glob("interrupted.csv.parts/part-*")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.communicate()
    done = run(tiny_bundle, images, out)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == undisturbed[".csv"]


def test_a_full_disk_costs_nothing_that_is_finished(
    tiny_bundle: Path, images: Path, undisturbed: dict[str, bytes]
) -> None:
    out = images.parent / "full.csv"
    small = len(undisturbed[".csv"]) // 2

    def run_with_little_space() -> str:
        done = subprocess.run(
            command(tiny_bundle, images, out),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "OutputError" in done.stderr
        return done.stderr

    assert "part-000001.parquet: cannot be written: no space left" in run_with_little_space()
    assert rows_in_parts(out) == 0
    assert run(tiny_bundle, images, out).stdout == "120\n"
    out.unlink()
    words = run_with_little_space()
    assert "full.csv: cannot be written: no space left; finished work is kept" in words
    assert not out.exists()
    assert run(tiny_bundle, images, out).stdout == "0\n"
    assert out.read_bytes() == undisturbed[".csv"]
