"""Both layouts of a step's two batches learn the same; which one is a matter of time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from plankton_da.adaptation.forward_layout import measure_layouts, settle_layout
from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.ranks import Ranks
from plankton_da.config_reading import parse_config
from plankton_da.errors import ConfigError
from plankton_da.networks.classifier import LAYOUTS, Layout

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
FREE = [
    {"batch_norm": "frozen"},
    {"batch_norm": "frozen", "bottleneck_dim": 8},
    {"backbone": "test_vit", "batch_norm": "per_domain", "bottleneck_dim": 8},
    {"backbone": "test_vit", "batch_norm": "shared", "bottleneck_dim": 8},
]
BOUND = [("shared", "concatenated"), ("per_domain", "halves")]


@pytest.mark.parametrize("model", FREE)
@pytest.mark.parametrize("name", ["dann", "mcc", "self_training"])
def test_gradients_agree(
    method_of: MethodOf, batch_of: BatchOf, name: str, model: dict[str, object]
) -> None:
    gradients, losses = [], []
    for layout in LAYOUTS:
        method = method_of(name, model={**model, "forward_layout": layout}).double()
        assert method.network.layout_is_free
        output = method(batch_of(0), torch.tensor(0.5))
        output.loss.backward()
        losses.append(output.loss.detach())
        gradients.append({n: p.grad for n, p in method.named_parameters() if p.requires_grad})
    torch.testing.assert_close(*losses)
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, msg=key)


@pytest.mark.parametrize(("batch_norm", "only"), BOUND)
def test_batch_norm_that_couples_images_leaves_no_choice(
    method_of: MethodOf, batch_of: BatchOf, batch_norm: str, only: Layout
) -> None:
    (other,) = set(LAYOUTS) - {only}
    with pytest.raises(ConfigError, match=f"goes with {only} alone"):
        method_of("dann", model={"batch_norm": batch_norm, "forward_layout": other})
    method = method_of("dann", model={"batch_norm": batch_norm})
    plain = method(batch_of(0), torch.tensor(0.5)).loss
    method = method_of("dann", model={"batch_norm": batch_norm})
    method.network.layout = other
    assert torch.equal(method(batch_of(0), torch.tensor(0.5)).loss, plain)


def test_measuring_changes_nothing(method_of: MethodOf, batch_of: BatchOf) -> None:
    method = method_of("dann", model={"batch_norm": "frozen", "bottleneck_dim": 8})
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    drawn = torch.get_rng_state()
    seconds = measure_layouts(method.network, batch_of(0), nullcontext())
    assert set(seconds) == set(LAYOUTS)
    assert all(taken > 0 for taken in seconds.values())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(before[name], tensor) for name, tensor in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())


def test_what_was_measured_holds_for_later_runs(
    method_of: MethodOf, batch_of: BatchOf, tmp_path: Path
) -> None:
    config = parse_config(
        {"data": {"mid": "mid.csv", "target": "target.csv"}, "method": {"name": "dann"}}
    )

    def settled(folder: Path, batch_norm: str = "frozen") -> Layout | None:
        method = method_of("dann", model={"batch_norm": batch_norm})
        settle_layout(
            *(config, method, [batch_of(0)], folder),  # type: ignore[arg-type]  # item 0 is a batch
            *(torch.device("cpu"), nullcontext(), Ranks()),
        )
        return method.network.layout

    measured = settled(tmp_path / "cache")
    assert measured in LAYOUTS
    (kept,) = (tmp_path / "cache").iterdir()
    for layout in LAYOUTS:
        kept.write_text(f'"{layout}"')
        assert settled(tmp_path / "cache") == layout
    kept.write_text("{damaged")
    assert settled(tmp_path / "cache") in LAYOUTS
    assert settled(tmp_path / "other", batch_norm="shared") is None
    (tmp_path / "file").write_text("")
    assert settled(tmp_path / "file") is None  # nothing can be kept: nothing is measured
