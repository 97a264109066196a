"""What every method must be."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from plankton_da.adaptation.methods import METHODS, Method, StepOutput
from plankton_da.adaptation.methods.base import warm_up
from plankton_da.adaptation.optimizers import create_optimizer, set_learning_rate
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.config import SOURCE_FREE_METHODS, SGDConfig, method_configs
from plankton_da.errors import ModelError

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]


def test_every_method_has_its_config_and_the_reverse() -> None:
    assert list(METHODS) == list(method_configs())


def test_the_config_knows_which_methods_do_without_mid() -> None:
    assert {n for n, cls in METHODS.items() if cls.source_free} == set(SOURCE_FREE_METHODS)


@pytest.mark.parametrize("name", SOURCE_FREE_METHODS)
def test_a_source_free_method_ignores_images_of_mid(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    batch = batch_of(0)
    without = batch._replace(mid_images=batch.mid_images[:0], mid_labels=batch.mid_labels[:0])
    losses = [method_of(name)(b, torch.tensor(0.5)).loss for b in (batch, without)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", METHODS)
def test_a_step_gives_a_differentiable_loss_and_detached_figures(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    output = method_of(name)(batch_of(0), torch.tensor(0.3))
    assert isinstance(output, StepOutput)
    assert output.loss.shape == ()
    assert output.loss.requires_grad
    assert output.mid_logits.shape == (0 if METHODS[name].source_free else 8, 5)
    assert not output.mid_logits.requires_grad
    for scalar in output.scalars.values():
        assert scalar.shape == ()
        assert not scalar.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_everything_that_learns_gets_a_gradient(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of(name)
    method(batch_of(0), torch.tensor(0.5)).loss.backward()
    learning = {key: p for key, p in method.named_parameters() if p.requires_grad}
    without = [key for key, p in learning.items() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", METHODS)
def test_a_method_owns_no_optimizer_counter_or_logger(name: str) -> None:
    source = inspect.getsource(inspect.getmodule(METHODS[name]))  # type: ignore[arg-type]
    for word in ("optim", "logging", "mlflow", ".item(", "step +="):
        assert word not in source


@pytest.mark.parametrize("name", METHODS)
def test_the_same_step_twice_is_the_same(name: str, method_of: MethodOf, batch_of: BatchOf) -> None:
    first, second = (method_of(name)(batch_of(1), torch.tensor(0.5)).loss for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", [name for name, cls in METHODS.items() if not cls.adapts])
def test_a_method_that_does_not_adapt_ignores_target_images(
    name: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    batch = batch_of(0)
    other = batch._replace(target_images=batch.target_images[:0])
    losses = [method_of(name)(b, torch.tensor(0.5)).loss for b in (batch, other)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("batch_norm", ["frozen", "per_domain"])
def test_a_few_labelled_images_add_their_weighted_loss_and_gradient(
    name: str, batch_norm: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    if METHODS[name].batch_norm not in (None, batch_norm):
        pytest.skip(f"{name} has no {batch_norm} BatchNorm")
    batch, few = batch_of(0), batch_of(7)
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    with_few = batch._replace(few_images=few.target_images, few_labels=labels)

    def method() -> Method:
        method = method_of(name, model={"batch_norm": batch_norm})
        method.few_labels_weight = 0.7
        return method

    plain, few_alone, both = method(), method(), method()
    torch.manual_seed(1)
    plain_loss = plain(batch, torch.tensor(0.5)).loss
    plain_loss.backward()
    few_alone.network.use_domain("target")
    logits = few_alone.network(few.target_images)
    few_loss = 0.7 * F.cross_entropy(logits, labels, label_smoothing=0.1)
    few_loss.backward()
    torch.manual_seed(1)
    output = both(with_few, torch.tensor(0.5))
    output.loss.backward()
    torch.testing.assert_close(output.loss, plain_loss + few_loss)
    torch.testing.assert_close(output.scalars["few_labels_loss"], few_loss.detach() / 0.7)
    for key, parameter in both.network.named_parameters():
        if parameter.requires_grad and (key.startswith("head") or METHODS[name].source_free):
            summed = (
                plain.network.get_parameter(key).grad + few_alone.network.get_parameter(key).grad
            )
            torch.testing.assert_close(parameter.grad, summed, rtol=1e-4, atol=1e-6, msg=key)
    if name == "source_only":
        assert few_alone.network.head.weight.grad.abs().max() > 1e-3


@pytest.mark.parametrize("freeze", [2, "all"])
@pytest.mark.parametrize("name", [name for name, cls in METHODS.items() if cls.takes_features])
def test_what_frozen_stages_give_stands_in_place_of_images(
    name: str, freeze: int | str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    batch_norm = METHODS[name].batch_norm or "frozen"
    model = {"freeze": freeze, "batch_norm": batch_norm, "bottleneck_dim": 4}
    batch = batch_of(0)._replace(
        few_images=batch_of(1).target_images, few_labels=torch.arange(8) % 5
    )

    def gradients(method: Method, batch: UdaBatch) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        method(batch, torch.tensor(0.5)).loss.backward()
        return {key: p.grad for key, p in method.named_parameters() if p.grad is not None}

    of_images, of_features = method_of(name, model=model), method_of(name, model=model)
    assert of_features.divide(batch.mid_images)
    features = {
        key: of_features.network.frozen_features(value)
        for key, value in batch._asdict().items()
        if key.endswith("images") and value is not None
    }
    expected = gradients(of_images, batch)
    found = gradients(of_features, batch._replace(**features))
    assert any(gradient.any() for gradient in expected.values())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_the_classification_loss_is_label_smoothed_cross_entropy(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method, batch = method_of("source_only"), batch_of(0)
    output = method(batch, torch.tensor(0.5))
    log_p = torch.log_softmax(output.mid_logits, dim=1)  # (M, K)
    smoothed = torch.full_like(log_p, 0.1 / 5)
    smoothed[torch.arange(8), batch.mid_labels] += 0.9
    torch.testing.assert_close(output.loss.detach(), -(smoothed * log_p).sum(1).mean())


def test_warm_up_is_the_paper_s() -> None:
    progress = torch.tensor([0.0, 0.1, 0.5, 1.0], dtype=torch.float64)
    expected = 2 / (1 + torch.exp(-10 * progress)) - 1
    torch.testing.assert_close(warm_up(progress), expected)
    assert warm_up(torch.tensor(0.0)) == 0
    assert 0.999 < warm_up(torch.tensor(1.0)) < 1


def test_settling_source_only_gives_the_target_mid_s_statistics(
    method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("source_only", model={"batch_norm": "per_domain"})
    method(batch_of(0), torch.tensor(0.5))
    method.settle(iter(()))
    statistics = method.network.statistics.state_dict()
    for key, value in statistics.items():
        assert torch.equal(value, statistics[key.replace("target/", "mid/")])


def test_settling_adabn_estimates_the_target_alone(method_of: MethodOf, batch_of: BatchOf) -> None:
    method = method_of("adabn", model={"batch_norm": "per_domain"})
    method(batch_of(0), torch.tensor(0.5))
    before = {key: value.clone() for key, value in method.network.statistics.state_dict().items()}
    method.settle(iter([batch_of(1).target_images]))
    after = method.network.statistics.state_dict()
    changed = {key.split("/")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"target"}
    assert method.network.training


def test_adabn_without_batch_norm_says_so(method_of: MethodOf) -> None:
    with pytest.raises(ModelError, match="has no BatchNorm"):
        method_of("adabn", model={"backbone": "test_vit"})


def test_learning_rates_follow_the_paper_and_the_multiplier(method_of: MethodOf) -> None:
    method = method_of("dann")
    optimizer = create_optimizer(method, SGDConfig(lr=0.02, backbone_lr_multiplier=0.1))
    set_learning_rate(optimizer, 0.5)
    backbone, rest = optimizer.param_groups
    assert rest["lr"] == pytest.approx(0.02 * 6**-0.75)
    assert backbone["lr"] == pytest.approx(0.002 * 6**-0.75)
    learning = sum(p.numel() for p in method.parameters() if p.requires_grad)
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == learning
