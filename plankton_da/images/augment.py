"""What differs between cameras, varied on purpose (the only user of albumentations).

Inversion is not among it: preprocessing settles polarity, and tone curves cover what is left.
"""

from __future__ import annotations

import os
import random
from typing import Any, Literal

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from plankton_da.images.preprocess import border_median

cv2.setNumThreads(0)  # importing albumentations may have changed it


class Augment:
    """Random changes to one image, decided by a seed and nothing else.

    Two images may not be augmented at once by the same object; every process needs its own.
    """

    def __init__(self, transforms: list[Any]) -> None:
        self.transforms = transforms
        self._transforms = A.Compose(transforms) if transforms else None

    def __call__(self, pixels: NDArray[np.uint8], seed: tuple[int, ...]) -> NDArray[np.uint8]:
        """Change one image.

        Args:
            pixels: uint8 (H, W, C), C = 1 or 3, dark on light; not written to.
            seed: non-negative numbers, such as (run seed, step, row).

        Returns:
            uint8 (H, W, C): the same for the same pixels and seed, whatever came before.
        """
        if self._transforms is None:
            return pixels
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        # all transforms draw from these two in turn; Compose(seed=...) would give each a copy, and
        # a horizontal flip would come with a vertical one always
        self._transforms.set_random_state(
            generator,
            random.Random(int(generator.integers(2**63))),  # noqa: S311  # not for secrets
        )
        changed: NDArray[np.uint8] = self._transforms(image=pixels)["image"]
        return changed.reshape(pixels.shape)


class FreePose(A.ImageOnlyTransform):  # type: ignore[misc]  # albumentations has no types
    """Turn by any angle, scale, and shift; what comes into view is the image's own ground.

    A constant fill would draw dark corners, repeated edges would draw streaks of an organism that
    touches the border.
    """

    def __init__(self, scale: float, shift: float, p: float) -> None:
        super().__init__(p=p)
        self.scale = scale
        """largest factor; the smallest is its inverse"""
        self.shift = shift
        """largest shift, as a share of the side"""

    def get_params(self) -> dict[str, Any]:
        """Draw angle (degrees), scale (log-uniform) and shift (shares of width, height)."""
        draw = self.py_random.uniform
        return {
            "angle": draw(-180, 180),
            "factor": self.scale ** draw(-1, 1),
            "shift_x": draw(-self.shift, self.shift),
            "shift_y": draw(-self.shift, self.shift),
        }

    def apply(
        self,
        img: NDArray[np.uint8],
        angle: float,
        factor: float,
        shift_x: float,
        shift_y: float,
        **_: Any,
    ) -> NDArray[np.uint8]:
        """Warp (H, W, C) pixels."""
        height, width = img.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, factor)
        matrix[:, 2] += shift_x * width, shift_y * height
        ground = [float(value) for value in np.atleast_1d(border_median(img))]
        warped = cv2.warpAffine(
            img, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=ground
        )
        return warped.reshape(img.shape).astype(np.uint8, copy=False)


def build_augmentation(preset: Literal["instrument", "strong", "none"], image_size: int) -> Augment:
    """The augmentation that a config names, or a method needs.

    Args:
        preset: ``instrument`` (pose, tone, blur, pixel size, noise, JPEG), ``strong`` (the same,
            more often and wider, and patches erased: the second view of an image for methods that
            compare two) or ``none``.
        image_size: side of the images in pixels; blur grows with it.
    """
    if preset == "none":
        return Augment([])
    return Augment((_instrument if preset == "instrument" else _strong)(image_size))


def _strong(image_size: int) -> list[Any]:
    blur = image_size / 128
    return [
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=0.5),
        A.Transpose(p=0.5),
        FreePose(scale=1.4, shift=0.12, p=0.8),
        A.RandomToneCurve(scale=0.3, p=0.6),
        A.RandomGamma(gamma_limit=(45, 220), p=0.6),
        A.RandomBrightnessContrast(
            brightness_limit=(-0.15, 0.0), contrast_limit=(-0.3, 0.1), p=0.6
        ),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.3 * blur, 2 * blur), p=0.5),
        A.Downscale(
            scale_range=(0.25, 0.9),
            interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
            p=0.5,
        ),
        A.GaussNoise(std_range=(0.005, 0.06), p=0.5),
        A.ImageCompression(quality_range=(30, 95), p=0.5),
        # a part may be hidden, never the whole organism
        A.CoarseDropout(
            num_holes_range=(1, 3),
            hole_height_range=(0.1, 0.3),
            hole_width_range=(0.1, 0.3),
            fill=127,
            p=0.7,
        ),
    ]


def _instrument(image_size: int) -> list[Any]:
    blur = image_size / 128  # sigmas are given for 128 pixels
    return [
        # the three together make all eight flips and quarter turns
        A.HorizontalFlip(p=0.5),
        A.VerticalFlip(p=0.5),
        A.Transpose(p=0.5),
        FreePose(scale=1.25, shift=0.08, p=0.6),
        A.RandomToneCurve(scale=0.2, p=0.3),
        A.RandomGamma(gamma_limit=(55, 180), p=0.3),
        A.RandomBrightnessContrast(
            brightness_limit=(-0.1, 0.0), contrast_limit=(-0.3, 0.05), p=0.3
        ),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.3 * blur, 1.6 * blur), p=0.3),
        A.Downscale(
            scale_range=(0.35, 0.9),
            interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
            p=0.3,
        ),
        A.GaussNoise(std_range=(0.005, 0.04), p=0.3),
        A.ImageCompression(quality_range=(40, 95), p=0.3),
    ]
