"""The exit code is that of the error, whatever native libraries do while the process ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, ctypes, sys
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)  # as a thread of a library may, now and then
atexit.register(print, "python's own end", file=sys.stderr)
from plankton_da.cli import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="takes the C library from the process itself")
def test_an_abort_at_the_end_does_not_hide_the_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "evaluate", "no_bundle", "no.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "plankton-da: " in done.stderr
    assert done.stderr.endswith("python's own end\n")
    assert done.returncode in (2, 3, 4)
