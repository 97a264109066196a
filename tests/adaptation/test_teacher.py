"""The teacher: an exact average, apart from what learns, restored bit for bit, alone deployed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from plankton_da.adaptation.methods import METHODS, Method
from plankton_da.adaptation.methods.teacher import Teacher, TeacherMethod
from plankton_da.adaptation.optimizers import create_optimizer, set_learning_rate
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import SGDConfig

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
TAUGHT = [name for name, cls in METHODS.items() if issubclass(cls, TeacherMethod)]
HALF = torch.tensor(0.5)


def states(
    method_of: MethodOf, batch_of: BatchOf, batch_norm: str
) -> list[dict[str, torch.Tensor]]:
    """A student's states over four steps, and the student itself last."""
    method = method_of("source_only", model={"batch_norm": batch_norm, "bottleneck_dim": 4})
    optimizer = create_optimizer(method, SGDConfig(lr=0.1))
    set_learning_rate(optimizer, 0.0)
    found = []
    for seed in range(4):
        found.append(copy.deepcopy(method.network.state_dict()))
        method(batch_of(seed), HALF).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return found


@pytest.mark.parametrize("batch_norm", ["frozen", "shared", "per_domain"])
def test_it_is_the_weighted_mean_of_all_states(
    method_of: MethodOf, batch_of: BatchOf, batch_norm: str
) -> None:
    """Weights 0.7^age, of parameters and running statistics alike; counters are the last ones."""
    seen = states(method_of, batch_of, batch_norm)
    student = method_of(
        "source_only", model={"batch_norm": batch_norm, "bottleneck_dim": 4}
    ).network
    teacher = Teacher(student, 0.7)
    for state in seen:
        student.load_state_dict(state)
        teacher.follow(student)
    ages = torch.tensor([0.7**3, 0.7**2, 0.7, 1.0], dtype=torch.float64)
    found = teacher.network.state_dict()
    assert found.keys() == seen[0].keys()
    for name, value in found.items():
        if value.is_floating_point():
            stacked = torch.stack([state[name].double() for state in seen], -1)
            expected = (stacked @ (ages / ages.sum())).to(value.dtype)
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)
        else:
            assert torch.equal(value, seen[-1][name])
    moved = [name for name, value in found.items() if not torch.equal(value, seen[0][name])]
    assert any("bottleneck.1" in name for name in moved), "statistics move too"


def test_it_is_in_evaluation_mode_and_learns_nothing(method_of: MethodOf) -> None:
    method = method_of("self_training").train()
    assert method.network.training
    assert not any(module.training for module in method.teacher.modules())
    assert not any(parameter.requires_grad for parameter in method.teacher.parameters())
    optimized = {
        id(parameter)
        for group in create_optimizer(method, SGDConfig()).param_groups
        for parameter in group["params"]
    }
    assert optimized.isdisjoint({id(parameter) for parameter in method.teacher.parameters()})


def test_it_shares_no_tensor_with_the_student(method_of: MethodOf) -> None:
    method = method_of("self_training", model={"batch_norm": "per_domain"})
    own = {tensor.data_ptr() for tensor in method.network.state_dict().values() if tensor.numel()}
    theirs = {tensor.data_ptr() for tensor in method.teacher.network.state_dict().values()}
    assert own.isdisjoint(theirs)


@pytest.mark.parametrize("batch_norm", ["frozen", "per_domain"])
def test_an_image_is_judged_the_same_in_any_batch_and_by_its_domain_s_statistics(
    method_of: MethodOf, batch_of: BatchOf, batch_norm: str
) -> None:
    method = method_of("mic", model={"batch_norm": batch_norm, "bottleneck_dim": 4})
    for seed in range(3):
        method(batch_of(seed), HALF)
    images = batch_of(5).target_images
    together = method.teacher.probabilities(images, "target")
    alone = torch.cat([method.teacher.probabilities(image[None], "target") for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
    of_mid = method.teacher.probabilities(images, "mid")
    assert torch.equal(of_mid, together) == (batch_norm == "frozen")


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("deploy", ["teacher", "student"])
def test_what_is_deployed_is_what_the_config_says(
    name: str, deploy: str, method_of: MethodOf
) -> None:
    method = method_of(name, deploy=deploy)
    assert method.deployed is (method.teacher.network if deploy == "teacher" else method.network)


@pytest.mark.parametrize("name", TAUGHT)
def test_settling_estimates_the_deployed_network_s_target_alone(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of(name, model={"batch_norm": "per_domain"})
    method(batch_of(0), HALF)
    before = copy.deepcopy(method.state_dict())
    method.settle(iter([batch_of(1).target_images]))
    changed = {
        key
        for key, value in method.state_dict().items()
        if value.is_floating_point() and not torch.equal(value, before[key])
    }
    assert changed
    assert all(key.startswith("teacher.network.statistics.target/") for key in changed)
    assert not method.teacher.network.training
    assert method.network.training


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("companions", [{}, {"adversarial_weight": 0.5, "mcc_weight": 0.3}])
def test_a_state_that_is_read_back_goes_on_bit_for_bit(
    name: str, companions: dict[str, float], method_of: MethodOf, batch_of: BatchOf, tmp_path: Path
) -> None:
    model = {"batch_norm": "per_domain", "bottleneck_dim": 4}

    def steps(method: Method, seeds: range) -> None:
        optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05)
        for seed in seeds:
            torch.manual_seed(seed)
            optimizer.zero_grad()
            method(batch_of(seed), HALF).loss.backward()
            optimizer.step()

    whole = method_of(name, model=model, **companions)
    steps(whole, range(3))
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    steps(whole, range(3, 6))
    resumed = method_of(name, model=model, **companions)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(resumed, range(3, 6))
    expected = whole.state_dict()
    for key, value in resumed.state_dict().items():
        assert torch.equal(value, expected[key]), key
