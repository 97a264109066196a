"""Batches of two instruments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from plankton_da.adaptation.views import WHOLE, View

# Streams of random numbers that must not share a seed.
_MID_ROWS, _TARGET_ROWS, _MID_AUGMENTATION, _TARGET_AUGMENTATION, _FEW_ROWS, _FEW_AUGMENTATION = (
    range(6)
)
_STRONG_AUGMENTATION = 6


class UdaBatch(NamedTuple):
    """One training step's images. There is no field for labels of the unlabelled target.

    Where frozen stages were computed beforehand, what they gave, (N, ...) float16, stands in place
    of images; the network takes either.
    """

    mid_images: Tensor
    """(M, C, H, W) uint8, preprocessed and augmented; M = 0 for methods that need no mid"""
    mid_labels: Tensor
    """(M,) int64, index into the classes"""
    target_images: Tensor
    """(T, C, H, W) uint8, preprocessed and augmented; T = 0 for methods that do not adapt"""
    few_images: Tensor | None = None
    """(F, C, H, W) uint8: images of ``target_labelled``, preprocessed and augmented"""
    few_labels: Tensor | None = None
    """(F,) int64, index into the classes"""
    target_rows: Tensor | None = None
    """(T,) int64: which rows of the target the ``target_images`` are"""
    target_strong_images: Tensor | None = None
    """(T, C, H, W) uint8: the rows of ``target_images``, augmented strongly; where asked for"""

    def to(self, device: torch.device) -> UdaBatch:
        """The same on ``device``."""
        return UdaBatch._make(
            None if tensor is None else tensor.to(device, non_blocking=True) for tensor in self
        )


class StepBatches(Dataset[UdaBatch]):
    """Item k is the batch of step k: a pure function of the seed, k and ``part``.

    So a run that is resumed, or loaded by another number of workers, sees the same batches; and the
    parts of several processes are together the batch of one.

    Parameters
    ----------
    mid, target
        Where images are drawn from; ``target`` is None for methods that do not adapt.
    mid_labels
        (len(mid),) int64.
    batch_size
        Images of each instrument in a batch.
    class_balanced
        Draw every class of mid equally often; else every image.
    few, few_labels
        Labelled target images and (len(few),) int64; every class is drawn equally often.
    target_strong
        A second view of the target's images; None: there is none.
    part
        The positions in each batch that this process takes.
    """

    def __init__(
        self,
        mid: View,
        mid_labels: NDArray[np.int64],
        target: View | None,
        *,
        batch_size: int,
        class_balanced: bool,
        seed: int,
        few: View | None = None,
        few_labels: NDArray[np.int64] | None = None,
        target_strong: View | None = None,
        part: slice = WHOLE,
    ) -> None:
        self._mid = mid
        self._mid_labels = mid_labels
        self._target = target
        self._target_strong = target_strong
        self._batch_size = batch_size
        self._seed = seed
        self._part = part
        mid_rows = np.flatnonzero(mid.good)
        self._mid_rows = mid_rows
        self._rows_of_class = _rows_of_class(mid, mid_labels) if class_balanced else None
        self._few = few
        self._few_labels = few_labels
        self._few_rows_of_class = (
            _rows_of_class(few, few_labels) if few is not None and few_labels is not None else []
        )
        self._target_rows = np.flatnonzero(target.good) if target is not None else np.array([], int)

    def __getitem__(self, step: int) -> UdaBatch:
        if not len(self._mid_rows):
            mid_rows = self._mid_rows
        elif self._rows_of_class is not None:
            mid_rows = self._balanced_rows(self._rows_of_class, _MID_ROWS, step)
        else:
            mid_rows = self._shuffled_rows(self._mid_rows, _MID_ROWS, step)
        mid_images = self._draw(self._mid, mid_rows, _MID_AUGMENTATION, step)
        target_images, target_rows, strong_images = mid_images[:0], None, None
        if self._target is not None:
            target_rows = self._shuffled_rows(self._target_rows, _TARGET_ROWS, step)
            target_images = self._draw(self._target, target_rows, _TARGET_AUGMENTATION, step)
            if self._target_strong is not None:
                strong_images = self._draw(
                    self._target_strong, target_rows, _STRONG_AUGMENTATION, step
                )
        batch = UdaBatch(
            mid_images,
            torch.from_numpy(self._mid_labels[mid_rows[self._part]]),
            target_images,
            target_rows=(
                None if target_rows is None else torch.from_numpy(target_rows[self._part])
            ),
            target_strong_images=strong_images,
        )
        if self._few is None or self._few_labels is None:
            return batch
        few_rows = self._balanced_rows(self._few_rows_of_class, _FEW_ROWS, step)
        return batch._replace(
            few_images=self._draw(self._few, few_rows, _FEW_AUGMENTATION, step),
            few_labels=torch.from_numpy(self._few_labels[few_rows[self._part]]),
        )

    def target_rows(self, steps: range) -> NDArray[np.intp]:
        """(N,) the rows of the target that ``steps`` draw, each once, in ascending order.

        Those of whole batches, whatever the part.
        """
        drawn = [self._shuffled_rows(self._target_rows, _TARGET_ROWS, step) for step in steps]
        return np.unique(np.concatenate(drawn))

    def _balanced_rows(
        self, rows_of_class: list[NDArray[np.intp]], stream: int, step: int
    ) -> NDArray[np.intp]:
        random = np.random.default_rng([self._seed, stream, step])
        rounds = -(-self._batch_size // len(rows_of_class))
        order = np.concatenate([random.permutation(len(rows_of_class)) for _ in range(rounds)])
        chosen = [random.choice(rows_of_class[label]) for label in order[: self._batch_size]]
        return np.array(chosen, dtype=np.intp)

    def _shuffled_rows(self, rows: NDArray[np.intp], stream: int, step: int) -> NDArray[np.intp]:
        """Every row once per epoch, in an order of that epoch's own."""
        positions = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        epochs, offsets = np.divmod(positions, len(rows))
        return np.array(
            [
                rows[_permutation(len(rows), self._seed, stream, int(epoch))[offset]]
                for epoch, offset in zip(epochs, offsets, strict=True)
            ],
            dtype=np.intp,
        )

    def _draw(self, view: View, rows: NDArray[np.intp], stream: int, step: int) -> Tensor:
        return torch.from_numpy(view.draw(rows, (self._seed, stream, step), self._part))


def _rows_of_class(source: View, labels: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    rows = np.flatnonzero(source.good)
    return [rows[labels[rows] == label] for label in np.unique(labels[rows])]


_permutations: dict[tuple[int, int, int, int], NDArray[np.intp]] = {}


def _permutation(length: int, seed: int, stream: int, epoch: int) -> NDArray[np.intp]:
    key = (length, seed, stream, epoch)
    if key not in _permutations:
        if len(_permutations) >= 4:  # two streams, each at most at the turn of two epochs
            _permutations.clear()
        _permutations[key] = np.random.default_rng([seed, stream, epoch]).permutation(length)
    return _permutations[key]


def batch_loader(
    batches: StepBatches, steps: range, *, workers: int, pin_memory: bool
) -> DataLoader[UdaBatch]:
    """Load the batches of ``steps`` in order, ahead of the training step that needs them."""
    return DataLoader(
        batches,
        batch_size=None,  # an item is a batch already
        sampler=steps,
        num_workers=workers,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # else the loader draws from the training's random numbers
    )
