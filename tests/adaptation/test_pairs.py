"""Batches: functions of seed and step, whatever loads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plankton_da.adaptation.pairs import StepBatches, UdaBatch, batch_loader
from plankton_da.adaptation.ranks import Ranks
from plankton_da.adaptation.views import AugmentedImages
from plankton_da.images.augment import build_augmentation
from plankton_da.images.cache import PixelSource, open_pixels
from plankton_da.images.preprocess import InstrumentLook, Preprocess

LABELS = np.array([0] * 20 + [1] * 3 + [2] * 7)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PixelSource:
    """Thirty images; image k is k everywhere, so that a pixel says which image it is from."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(30):
        Image.new("L", (16, 16), number).save(folder / f"{number}.png")
    preprocess = Preprocess(image_size=16, instruments={"CAM": InstrumentLook()})
    return open_pixels([f"{n}.png" for n in range(30)], folder, "CAM", preprocess)


def batches_of(
    source: PixelSource, seed: int = 0, balanced: bool = True, preset: str = "none"
) -> StepBatches:
    view = AugmentedImages(source, build_augmentation(preset, 16))  # type: ignore[arg-type]
    return StepBatches(
        view,
        LABELS,
        view,
        batch_size=6,
        class_balanced=balanced,
        seed=seed,
    )


def plain(source: PixelSource) -> AugmentedImages:
    return AugmentedImages(source, build_augmentation("none", 16))


def numbers(*images: torch.Tensor) -> list[int]:
    return torch.cat(images)[:, 0, 0, 0].tolist()


def equal(left: UdaBatch, right: UdaBatch) -> bool:
    return all(a is b if a is None else torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_the_only_labels_are_mid_s_and_the_few() -> None:
    assert [name for name in UdaBatch._fields if "label" in name] == ["mid_labels", "few_labels"]


def test_the_few_labelled_images_come_with_their_labels_every_class_equally(
    source: PixelSource, tmp_path: Path
) -> None:
    few = np.array([-1] * 30)
    few[[2, 3, 5, 21]] = [0, 0, 0, 2]
    chosen = np.flatnonzero(few >= 0)
    for number in chosen:
        Image.new("L", (16, 16), int(number)).save(tmp_path / f"{number}.png")
    preprocess = Preprocess(image_size=16, instruments={"CAM": InstrumentLook()})
    images = open_pixels([f"{n}.png" for n in chosen], tmp_path, "CAM", preprocess)
    batches = StepBatches(
        plain(source),
        LABELS,
        plain(source),
        batch_size=6,
        class_balanced=True,
        seed=0,
        few=plain(images),
        few_labels=few[chosen],
    )
    without = batches_of(source)
    for step in range(20):
        batch = batches[step]
        assert batch.few_images is not None
        assert batch.few_labels is not None
        assert [few[number] for number in numbers(batch.few_images)] == batch.few_labels.tolist()
        assert np.bincount(batch.few_labels).tolist() == [3, 0, 3]
        assert equal(batch._replace(few_images=None, few_labels=None), without[step])


def test_labels_stay_with_their_images(source: PixelSource) -> None:
    for step in range(20):
        batch = batches_of(source)[step]
        assert [LABELS[number] for number in numbers(batch.mid_images)] == batch.mid_labels.tolist()


def test_balanced_batches_hold_every_class_equally(source: PixelSource) -> None:
    batches = batches_of(source)
    for step in range(20):
        assert np.bincount(batches[step].mid_labels, minlength=3).tolist() == [2, 2, 2]


def test_uniform_batches_show_every_image_once_per_epoch(source: PixelSource) -> None:
    batches = batches_of(source, balanced=False)
    for epoch in range(3):
        steps = [batches[5 * epoch + step] for step in range(5)]
        assert sorted(numbers(*(batch.mid_images for batch in steps))) == list(range(30))
        assert sorted(numbers(*(batch.target_images for batch in steps))) == list(range(30))


def test_target_order_differs_between_epochs_seeds_and_from_mid_s(source: PixelSource) -> None:
    def order(seed: int, first: int) -> list[int]:
        batches = batches_of(source, seed)
        return numbers(*(batches[first + step].target_images for step in range(5)))

    assert order(0, 0) != order(0, 5)
    assert order(0, 0) != order(1, 0)
    uniform = batches_of(source, balanced=False)[0]
    assert numbers(uniform.mid_images) != numbers(uniform.target_images)


def test_a_step_s_batch_does_not_depend_on_what_was_read_before(source: PixelSource) -> None:
    straight = batches_of(source, preset="instrument")
    for step in range(7):
        straight[step]
    fresh = batches_of(source, preset="instrument")
    assert equal(straight[7], fresh[7])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(source: PixelSource, workers: int) -> None:
    batches = batches_of(source, preset="instrument")
    loader = batch_loader(batches, range(3, 9), workers=workers, pin_memory=False)
    for step, batch in zip(range(3, 9), loader, strict=True):
        assert equal(batch, batches[step])


def test_loading_draws_nothing_from_torch_s_random_numbers(source: PixelSource) -> None:
    before = torch.get_rng_state()
    list(batch_loader(batches_of(source), range(2), workers=0, pin_memory=False))
    assert torch.equal(before, torch.get_rng_state())


def test_images_that_do_not_decode_are_never_drawn(tmp_path: Path) -> None:
    for number in range(6):
        Image.new("L", (16, 16), 10 * number).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"not an image")
    preprocess = Preprocess(image_size=16, instruments={"CAM": InstrumentLook()})
    source = open_pixels(
        [f"{n}.png" for n in range(6)], tmp_path, "CAM", preprocess, on_bad_image="skip"
    )
    batches = StepBatches(
        plain(source),
        np.array([0, 0, 0, 1, 1, 1]),
        plain(source),
        batch_size=5,
        class_balanced=True,
        seed=0,
    )
    seen = set()
    for step in range(10):
        seen |= set(numbers(batches[step].mid_images)) | set(numbers(batches[step].target_images))
    assert seen == {0, 10, 30, 40, 50}


def test_methods_that_do_not_adapt_load_no_target(source: PixelSource) -> None:
    batches = StepBatches(
        plain(source),
        LABELS,
        None,
        batch_size=4,
        class_balanced=True,
        seed=0,
    )
    assert batches[0].target_images.shape == (0, 1, 16, 16)


def test_the_strong_view_is_of_the_same_rows(source: PixelSource) -> None:
    def batches(strong: str | None) -> StepBatches:
        view = AugmentedImages(source, build_augmentation(strong, 16)) if strong else None  # type: ignore[arg-type]
        return StepBatches(
            plain(source),
            LABELS,
            plain(source),
            target_strong=view,
            batch_size=6,
            class_balanced=True,
            seed=0,
        )

    assert batches(None)[3].target_strong_images is None
    weak, strong = batches("none")[3], batches("strong")[3]
    assert weak.target_strong_images is not None
    assert torch.equal(weak.target_strong_images, weak.target_images)
    assert equal(strong._replace(target_strong_images=None), batches(None)[3])
    assert not torch.equal(strong.target_strong_images, strong.target_images)  # type: ignore[arg-type]


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("count", [2, 3])
def test_the_parts_of_several_processes_are_together_the_batch_of_one(
    source: PixelSource, balanced: bool, count: int
) -> None:
    def batches(part: slice) -> StepBatches:
        view = AugmentedImages(source, build_augmentation("strong", 16))
        return StepBatches(
            *(view, LABELS, view),
            batch_size=6,
            class_balanced=balanced,
            seed=3,
            few=view,
            few_labels=LABELS,
            target_strong=view,
            part=part,
        )

    one = batches(slice(None))
    parts = [batches(Ranks(rank, count).part) for rank in range(count)]
    for step in (0, 1, 7):
        whole, shares = one[step], [part[step] for part in parts]
        assert {len(share.mid_labels) for share in shares} == {6 // count}
        for name, tensor in whole._asdict().items():
            put_together = torch.empty_like(tensor)
            for rank, share in enumerate(shares):
                put_together[rank::count] = getattr(share, name)
            assert torch.equal(put_together, tensor), name
        drawn = [row for share in shares for row in share.target_rows.tolist()]
        assert len(set(drawn)) == len(drawn) == 6
    assert np.array_equal(parts[1].target_rows(range(3)), one.target_rows(range(3)))
