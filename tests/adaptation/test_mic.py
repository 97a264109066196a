"""Masked image consistency against its equations, and a task that mid alone cannot teach."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.methods.mcc import class_confusion
from plankton_da.adaptation.methods.mic import mask_patches
from plankton_da.adaptation.pairs import UdaBatch

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
HALF = torch.tensor(0.5)


@pytest.mark.parametrize("mcc_weight", [0.0, 0.7])
def test_loss_and_gradients_equal_plain_torch(
    mcc_weight: float, method_of: MethodOf, batch_of: BatchOf
) -> None:
    """The second step, at which teacher and student differ."""
    method = method_of(
        "mic",
        model={"batch_norm": "frozen", "bottleneck_dim": 6},
        masked_weight=1.3,
        masked_share=0.6,
        patch_size=0.25,
        teacher_decay=0.5,
        mcc_weight=mcc_weight,
    ).double()
    network, batch = method.network, batch_of(0)
    first = copy.deepcopy(network)
    method(batch, HALF.double())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    mean = copy.deepcopy(first).eval()
    with torch.no_grad():  # 0.5 of the older state and 1 of the younger, scaled to 1
        new = network.state_dict()
        for key, value in mean.state_dict().items():
            if value.is_floating_point():
                value.copy_((0.5 * value + new[key]) / 1.5)
        p = torch.softmax(mean(batch.target_images), 1)

    torch.manual_seed(3)
    output = method(batch, HALF.double())
    output.loss.backward()

    torch.manual_seed(3)
    hidden = torch.rand(8, 1, 4, 4) < 0.6
    masked = batch.target_images.clone()
    for image in range(8):
        for row in range(32):
            for column in range(32):
                if hidden[image, 0, row // 8, column // 8]:
                    masked[image, :, row, column] = round(float(network.mean.mean()))
    views = [batch.target_images, masked] if mcc_weight else [masked]
    mid_features, rest = network.pair_features(batch.mid_images, torch.cat(views))
    log_p = torch.log_softmax(network.head(mid_features), 1)
    smoothed = torch.full_like(log_p, 0.1 / 5)
    smoothed[torch.arange(8), batch.mid_labels] += 0.9
    of_masked = torch.log_softmax(network.head(rest[-8:]), 1)
    terms = [-row.max() * said[row.argmax()] for row, said in zip(p, of_masked, strict=True)]
    loss = -(smoothed * log_p).sum(1).mean() + 1.3 * torch.stack(terms).mean()
    if mcc_weight:
        loss = loss + mcc_weight * class_confusion(network.head(rest[:8]), 2.5)
    torch.testing.assert_close(output.loss, loss)
    learning = {key: q for key, q in network.named_parameters() if q.requires_grad}
    expected = torch.autograd.grad(loss, list(learning.values()))
    for (key, parameter), gradient in zip(learning.items(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-10, rtol=1e-8, msg=key)


@pytest.mark.parametrize("size", [(32, 32), (30, 47)])
@pytest.mark.parametrize("share", [0.0, 0.7])
def test_whole_patches_are_hidden_as_often_as_asked(size: tuple[int, int], share: float) -> None:
    torch.manual_seed(0)
    images = torch.randint(130, 256, (400, 1, *size), dtype=torch.uint8)
    before = images.clone()
    masked = mask_patches(images, torch.full((1, 3, 1, 1), 127.5), 0.25, share)
    assert masked.dtype == torch.uint8
    assert masked.shape == images.shape
    assert torch.equal(images, before)
    hidden = masked != images
    assert (masked[hidden] == 128).all()
    assert hidden.float().mean() == pytest.approx(share, abs=0.02)
    corner = hidden[:, 0, :7, :7]
    assert torch.equal(corner.all((1, 2)), corner.any((1, 2)))
    assert len({tuple(image.flatten().tolist()) for image in hidden[:20]}) == (20 if share else 1)


def test_colour_is_hidden_by_each_channel_s_mean() -> None:
    images = torch.full((2, 3, 8, 8), 255, dtype=torch.uint8)
    mean = torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1)
    masked = mask_patches(images, mean, 0.5, 1.0)
    assert masked[:, :, 0, 0].tolist() == [[10, 20, 30]] * 2


def test_it_is_alive(method_of: MethodOf, batch_of: BatchOf) -> None:
    """The masked view moves every parameter of the network."""
    gradients = []
    for weight in (0.0, 1.0):
        method = method_of("mic", model={"batch_norm": "frozen"}, masked_weight=weight)
        method(batch_of(0), HALF).loss.backward()
        gradients.append({key: p.grad.clone() for key, p in method.network.named_parameters()})
    for key, before in gradients[0].items():
        assert not torch.equal(before, gradients[1][key]), key


def test_it_learns_a_sign_that_only_the_target_has(learn_quadrants: Callable[..., float]) -> None:
    assert learn_quadrants("source_only", 0.5) < 0.8
    assert learn_quadrants("mic", 0.5, patch_size=0.5, masked_share=0.5) > 0.95
