"""Several processes train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from plankton_da.adaptation.ranks import Ranks
from plankton_da.errors import ConfigError

SCRIPT = Path(__file__).with_name("two_ranks.py")
PER_SAMPLE = ["source_only", "dann", "dann_sdat", "cdan", "self_training"]
"""cases whose loss is a mean over images that nothing couples"""
COUPLED = ["mcc", "pada", "mic", "adabn", "dann_per_domain"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes has to say."""
    out = tmp_path_factory.mktemp("ranks")
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), "2", str(out / "store"), str(out)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    said = [torch.load(out / f"rank_{rank}.pt", weights_only=True) for rank in range(2)]
    return [{**each, "turns": out} for each in said]


@pytest.mark.parametrize("case", PER_SAMPLE)
def test_two_ranks_step_as_one_where_the_loss_is_per_sample(
    found: list[dict[str, Any]], case: str
) -> None:
    alone, together = found[0]["alone"][case], found[0]["together"][case]
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("case", PER_SAMPLE + COUPLED)
def test_ranks_hold_the_same_weights(found: list[dict[str, Any]], case: str) -> None:
    first, second = (each["together"][case] for each in found)
    statistics = ("running_mean", "running_var", "num_batches_tracked", "/mean", "/var")
    learnt = [name for name in first if not name.endswith(statistics)]
    assert learnt
    for name in learnt:
        assert torch.equal(first[name], second[name]), name


def test_rank_0_speaks_for_all(found: list[dict[str, Any]]) -> None:
    first, second = (each["said"] for each in found)
    for said in (first, second):
        assert said["mean"] == 0.5
        assert said["any"] == [True, False]
        assert said["first"] == 7
        assert said["layouts"] == ["concatenated", "halves"]
    assert (first["does"], second["does"]) == (7, None)
    assert first["refused"].startswith("ConfigError data.batch_size_per_instrument: 7 cannot")
    assert second["refused"] == f"SystemExit {ConfigError.exit_code}"
    assert (found[0]["turns"] / "turn_0").read_text() == "[]"
    assert "turn_0" in (found[0]["turns"] / "turn_1").read_text()


def test_a_batch_that_cannot_be_divided_is_refused_with_sizes_that_can() -> None:
    Ranks(0, 4).require_parts(32)
    with pytest.raises(ConfigError, match="30 cannot be divided over 4 processes; set it to 28 or"):
        Ranks(0, 4).require_parts(30)
    with pytest.raises(ConfigError, match="set it to 4, or start another number"):
        Ranks(0, 4).require_parts(3)
