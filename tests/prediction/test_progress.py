"""Progress: a bar for people, a line a minute for logs."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time

import pytest

from plankton_da.prediction import progress
from plankton_da.prediction.progress import Progress

PROGRAM = """
import time
from plankton_da.prediction.progress import Progress
with Progress(lambda: 100, show=True) as bar:
    for _ in range(8):
        time.sleep(0.15)
        bar.update(10, 20)
"""


def test_a_terminal_gets_a_bar_with_rate_and_remaining_time() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()  # its size is 0 x 0, as under some job runners
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 4096):
            seen += data
    except OSError:  # Linux says so when the other side is closed
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0
    text = seen.decode()
    assert "80/80" in text, "finished rows do not count"
    assert re.search(r"\d+/80 \[00:0\d<00:0\d, +\d+\.\d+ images/s\]", text)


def test_elsewhere_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "_LOG_EVERY", 0.05)
    with caplog.at_level(logging.INFO), Progress(lambda: 1000, show=True) as bar:
        bar.update(1, 0)
        assert not caplog.messages
        time.sleep(0.06)
        bar.update(99, 500)
    (line,) = caplog.messages
    assert re.match(r"100 images classified, [\d,]+ images/s, 400 to go, \d+ minutes left", line)
    assert capsys.readouterr().err == ""
