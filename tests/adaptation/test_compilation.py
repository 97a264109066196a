"""A compiled backbone learns what it would have learnt, and is compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
import torch

from plankton_da.adaptation.compilation import compile_backbones, eager
from plankton_da.adaptation.gradients import compute_gradients
from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.optimizers import create_optimizer
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import SGDConfig
from plankton_da.errors import ModelError

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def graphs() -> int:
    """How often anything was compiled."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def losses(method: Method, batch_of: BatchOf, steps: range) -> list[float]:
    optimizer = create_optimizer(method, SGDConfig(lr=0.05))
    found = []
    for step in steps:
        optimizer.zero_grad()
        progress = torch.tensor(step / 5)  # lambda2 changes with it
        output = compute_gradients(
            method, batch_of(step), progress, sdat=None, autocast=nullcontext()
        )
        optimizer.step()
        found.append(float(output.loss.detach()))
    return found


@pytest.mark.parametrize(
    ("name", "batch_norm"),
    [("dann", "frozen"), ("dann", "per_domain"), ("dann", "shared"), ("self_training", "frozen")],
)
def test_no_step_is_compiled_anew(
    method_of: MethodOf, batch_of: BatchOf, name: str, batch_norm: str
) -> None:
    model = {"batch_norm": batch_norm}
    expected = losses(method_of(name, model=model), batch_of, range(5))
    method = method_of(name, model=model)
    compile_backbones(method, CPU, backend="eager")
    first = losses(method, batch_of, range(1))
    compiled = graphs()
    assert compiled > 0
    rest = losses(method, batch_of, range(1, 5))
    assert graphs() == compiled
    if name == "dann" and batch_norm == "frozen":
        assert compiled == 1  # for both halves of all steps
    assert first == pytest.approx(expected[:1], rel=1e-4)
    assert rest[0] == pytest.approx(expected[1], rel=0.05)  # the momentum began anew


def test_names_do_not_change_and_evaluations_compile_nothing(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("dann", model={"batch_norm": "frozen"})
    names = list(method.state_dict())
    compile_backbones(method, CPU, backend="eager")
    assert list(method.state_dict()) == names
    losses(method, batch_of, range(1))
    compiled = graphs()
    with eager(True), torch.no_grad():
        for size in (1, 3, 5):
            method.network.eval()(batch_of(0).mid_images[:size])
    assert graphs() == compiled


def test_without_a_compiler_the_way_out_is_said(
    method_of: MethodOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModelError, match=r"needs a C.. compiler on a CPU.*training.compile: false"):
        compile_backbones(method_of("dann"), CPU)
