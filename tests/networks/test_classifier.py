"""The network: normalisation, pooling, BatchNorm modes, freezing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from plankton_da.errors import DataError, ModelError
from plankton_da.networks.batch_norm import batch_norms, estimate_statistics
from plankton_da.networks.classifier import PlanktonNetwork

Build = Callable[..., PlanktonNetwork]


def images(count: int, seed: int = 0, low: int = 0, high: int = 256) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, (count, 1, 32, 32), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    "backbone", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext"]
)
def test_any_timm_backbone_gives_its_num_features(network_of: Build, backbone: str) -> None:
    network = network_of(backbone=backbone).eval()
    assert network.embed(images(2)).shape == (2, network.backbone.num_features)
    assert network(images(2)).shape == (2, 5)


def test_features_are_the_pooled_forward_features(network_of: Build) -> None:
    network = network_of().eval()
    normalised = (images(3).float() / 255 - 0.5) / 0.5
    maps = network.backbone.network.forward_features(normalised.expand(-1, 3, -1, -1))
    torch.testing.assert_close(network.embed(images(3)), maps.mean((2, 3)), atol=1e-5, rtol=1e-4)


def test_a_wide_head_is_not_mixed_with_the_features(network_of: Build) -> None:
    network = network_of(backbone="mobilenetv4_conv_small_050").eval()
    assert network.backbone.num_features == 480  # its head is 1280 wide
    assert network.embed(images(2)).shape == (2, 480)


def test_gray_is_the_same_as_its_rgb_copy(network_of: Build) -> None:
    network = network_of().eval()
    gray = images(2)
    assert torch.equal(network(gray), network(gray.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("batch_norm", ["frozen", "shared", "per_domain"])
def test_an_image_in_a_batch_is_that_image_alone(network_of: Build, batch_norm: str) -> None:
    network = network_of(batch_norm=batch_norm)
    network.pair_features(images(8, 1), images(8, 2))  # statistics other than 0 and 1
    network.eval()
    together = network(images(6))
    alone = torch.cat([network(images(6)[row : row + 1]) for row in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_per_domain_statistics_do_not_see_the_other_domain(network_of: Build) -> None:
    both, mid_only = (network_of(batch_norm="per_domain").train() for _ in range(2))
    both.pair_features(images(8, 1), images(8, 2, high=60))
    mid_only.use_domain("mid")
    mid_only.features(images(8, 1))
    changed = 0
    for name, values in both.statistics.state_dict().items():
        if name.startswith("mid"):
            assert torch.equal(values, mid_only.statistics.state_dict()[name])
        else:
            changed += not torch.equal(values, mid_only.statistics.state_dict()[name])
    assert changed > 0


def test_an_instrument_is_predicted_with_its_own_statistics(network_of: Build) -> None:
    network = network_of(batch_norm="per_domain").train()
    network.pair_features(images(8, 1), images(8, 2, high=60))
    network.eval()
    network.use_instrument("MID")
    as_mid = network(images(3))
    network.use_instrument("TARGET")
    assert not torch.allclose(as_mid, network(images(3)))
    network.use_instrument("MID")
    assert torch.equal(as_mid, network(images(3)))
    with pytest.raises(DataError, match="MID, TARGET"):
        network.use_instrument("OTHER")


def test_per_domain_statistics_survive_a_move_and_a_round_trip(network_of: Build) -> None:
    network = network_of(batch_norm="per_domain").train()
    network.pair_features(images(8, 1), images(8, 2, high=60))
    network.double().float().eval()
    copy = network_of(batch_norm="per_domain").eval()
    copy.load_state_dict(network.state_dict())
    for instrument in ("MID", "TARGET"):
        network.use_instrument(instrument)
        copy.use_instrument(instrument)
        assert torch.equal(network(images(3)), copy(images(3)))
    names = list(network.state_dict())
    assert not [name for name in names if name.endswith("running_mean")]  # no second copy


def test_frozen_statistics_stay_and_the_bottleneck_learns(network_of: Build) -> None:
    network = network_of(batch_norm="frozen").train()
    before = {name: layer.running_mean.clone() for name, layer in batch_norms(network)}
    network.pair_features(images(8, 1), images(8, 2))
    after = {name: layer.running_mean for name, layer in batch_norms(network)}
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved == ["bottleneck.1"]


def test_shared_statistics_see_one_concatenated_batch(network_of: Build) -> None:
    pair, one = (network_of(batch_norm="shared").train() for _ in range(2))
    mid, target = pair.pair_features(images(8, 1), images(8, 2, high=60))
    together = one.features(torch.cat([images(8, 1), images(8, 2, high=60)]))
    assert torch.equal(torch.cat([mid, target]), together)
    for (_, left), (_, right) in zip(batch_norms(pair), batch_norms(one), strict=True):
        assert torch.equal(left.running_mean, right.running_mean)


def test_frozen_halves_equal_the_concatenated_batch(network_of: Build) -> None:
    network = network_of(batch_norm="frozen", bottleneck_dim=0).train()
    mid, target = network.pair_features(images(8, 1), images(8, 2))
    together = network.features(torch.cat([images(8, 1), images(8, 2)]))
    torch.testing.assert_close(torch.cat([mid, target]), together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet"])
def test_the_first_stages_do_not_learn(network_of: Build, backbone: str) -> None:
    network = network_of(backbone=backbone, freeze=2).train()
    frozen = {name for stage in network.backbone.stages()[:2] for name in stage}
    assert frozen
    network.pair_features(images(4, 1), images(4, 2))[0].sum().backward()
    for name, parameter in network.backbone.network.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name


def test_all_frozen_leaves_head_and_bottleneck(network_of: Build) -> None:
    network = network_of(freeze="all").train()
    network(images(4)).sum().backward()
    learning = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert learning == {"bottleneck", "head"}


def test_estimated_statistics_are_the_data_s(network_of: Build) -> None:
    network = network_of(batch_norm="per_domain").eval()
    network.use_domain("target")
    batches = [images(16, seed) for seed in range(4)]
    estimate_statistics(network.learning_batch_norms(), network.features, iter(batches))
    first = batch_norms(network)[0][1]
    inputs: list[torch.Tensor] = []
    handle = first.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    for batch in batches:
        network.embed(batch)
    handle.remove()
    expected = torch.stack([values.mean((0, 2, 3)) for values in inputs]).mean(0)
    torch.testing.assert_close(first.running_mean, expected, atol=1e-5, rtol=1e-4)


def test_a_misspelt_backbone_names_the_nearest(network_of: Build) -> None:
    with pytest.raises(ModelError, match="did you mean test_resnet"):
        network_of(backbone="test_resnett")


def test_an_image_size_that_does_not_suit_says_so(network_of: Build) -> None:
    with pytest.raises(ModelError, match="images of 32 pixels"):
        network_of(backbone="inception_v3")
