"""What somebody who waits for a training sees."""

from __future__ import annotations

import logging
import re
import time

import pytest
import torch

from plankton_da.adaptation.progress import Meter, ProgressLine


def test_the_meter_means_over_the_steps_since_it_was_read() -> None:
    meter = Meter()
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(value)})
    assert meter.read() == {"loss": 3.0}
    meter.add({"loss": torch.tensor(5.0)})
    assert meter.read() == {"loss": 5.0}


def test_evaluations_do_not_slow_the_reported_rate(caplog: pytest.LogCaptureFixture) -> None:
    line = ProgressLine(0, 4, 10, show=True)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            time.sleep(0.02)
            line.advance()
        with line.evaluation():
            time.sleep(0.5)
        line.evaluated({"CAM": 0.75})
    line.close()
    (message,) = caplog.messages
    assert message.startswith("step 2/4 evaluated: ")
    assert "CAM val accuracy 0.750" in message
    found = re.search(r"(\d+) images/s", message)
    assert found is not None
    assert int(found[1]) > 100  # 20 images in about 0.04 s; with the evaluation it would be 37
