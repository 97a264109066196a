"""The one way from an opened image to the pixels that the network sees.

Training, evaluation, classification and the registry's model all call the same frozen object, which
travels in the bundle. Out comes a square of uint8, dark organisms on light ground.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from plankton_da.errors import DataError, ImageError, suggest
from plankton_da.images.eight_bit import eight_bit, upright

# The cores are shared out by images: threads inside one small image only get in each other's way
cv2.setNumThreads(0)

ALGORITHM = 1
"""raised by every change to this package that changes a pixel"""

Crop: TypeAlias = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class InstrumentLook(BaseModel):
    """What is special about one instrument's images, and how that was found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invert: bool = False
    """True where the instrument shows light organisms on dark ground"""
    crop: Crop = (0, 0, 0, 0)
    """pixels cut off (top, bottom, left, right), after EXIF rotation, before anything else"""
    polarity: Literal["dark_on_light", "light_on_dark"] = "dark_on_light"
    """as the instrument delivers its images"""
    polarity_votes: Annotated[float, Field(ge=0, le=1)] = 1.0
    """share of the sampled images that agree; 1.0 when set by hand"""
    pixel_size_um: Annotated[float, Field(gt=0)] | None = None
    """side of a pixel in micrometres, where ``Preprocess.scale`` is physical"""


class Preprocess(BaseModel):
    """Every step from an opened image to pixels, as data: JSON-able, hashable, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: Annotated[int, Field(ge=1, le=4096)]
    """side of the square that comes out, in pixels"""
    color: Literal["gray", "rgb"] = "gray"
    """gray: 1 channel (ITU-R BT.601 luma); rgb: 3"""
    pad: Literal["border_median"] = "border_median"
    """the longer side fills the square; the rest takes the median of the image's border pixels"""
    resample: Literal["area"] = "area"
    """OpenCV INTER_AREA when shrinking, INTER_LINEAR when enlarging"""
    bit_depth: Literal["full_range"] = "full_range"
    """16-bit images by their full range 0..65535, whatever part of it is used"""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """subtracted by the network, of pixels / 255, per RGB channel"""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """divided by, in the network"""
    scale: Literal["fit", "physical"] = "fit"
    """fit: the longer side fills the square; physical: a millimetre is as long everywhere"""
    um_per_pixel: Annotated[float, Field(gt=0)] | None = None
    """micrometres that a pixel of the square stands for, where ``scale`` is physical"""
    instruments: dict[str, InstrumentLook] = {}
    """instrument name -> what is special about it"""

    @model_validator(mode="after")
    def _sizes_are_known(self) -> Preprocess:
        if self.scale == "fit":
            return self
        lacking = [name for name, look in self.instruments.items() if look.pixel_size_um is None]
        if self.um_per_pixel is None or lacking:
            what = ", ".join(lacking) or "um_per_pixel"
            raise ValueError(f"scale physical needs the pixel size of every instrument; no {what}")
        return self

    @property
    def channels(self) -> int:
        """Channels of what comes out: 1 or 3."""
        return 1 if self.color == "gray" else 3

    def __call__(self, image: Image.Image, instrument: str) -> NDArray[np.uint8]:
        """Bring one image to the common look.

        Args:
            image: any mode: 1, L, P, RGB, CMYK, YCbCr, HSV, with or without alpha, 16 bits, float.
            instrument: a key of ``instruments``.

        Returns:
            uint8 (image_size, image_size, channels), dark on light.

        Raises:
            DataError: the instrument is unknown.
            ImageError: unsupported_mode; unreadable where the crop leaves nothing.
        """
        look = self.look(instrument)
        # transparent ground becomes white in the end, so black where the image is yet to be turned
        picture = eight_bit(upright(image), ground=0 if look.invert else 255)
        if self.color == "gray" and picture.mode != "L":
            picture = picture.convert("L")
        pixels = crop(np.asarray(picture), look.crop)  # (h, w) or (h, w, 3)
        pixels = _fit_square(pixels, self.image_size, self._factor(look))  # (H, W) or (H, W, 3)
        if look.invert:
            pixels = 255 - pixels
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.shape[2] != self.channels:
            pixels = np.repeat(pixels, self.channels, axis=2)
        return np.ascontiguousarray(pixels)

    def _factor(self, look: InstrumentLook) -> float | None:
        if self.scale == "fit" or self.um_per_pixel is None or look.pixel_size_um is None:
            return None  # with a physical scale both are there: ``_sizes_are_known``
        return look.pixel_size_um / self.um_per_pixel

    def look(self, instrument: str) -> InstrumentLook:
        """What is special about ``instrument``.

        Raises:
            DataError: it is unknown.
        """
        try:
            return self.instruments[instrument]
        except KeyError:
            known = ", ".join(sorted(self.instruments)) or "none"
            raise DataError(
                f"unknown instrument {instrument!r}: this preprocessing knows {known}"
                f"{suggest(instrument, sorted(self.instruments)) or '.'} "
                "Name the one that took the images (--instrument NAME, or the manifest's column "
                "instrument)"
            ) from None

    def hash(self) -> str:
        """sha256 (hex) of everything that changes a pixel; mean and std act in the network."""
        acts = self.model_dump(mode="json", exclude={"mean", "std", "instruments"})
        acts["instruments"] = {
            name: [look.invert, list(look.crop)] for name, look in self.instruments.items()
        }
        if self.scale == "fit":  # bundles from before there was a choice keep their hash
            del acts["scale"], acts["um_per_pixel"]
        else:
            sizes = {name: look.pixel_size_um for name, look in self.instruments.items()}
            acts["pixel_sizes_um"] = sizes
        acts["algorithm"] = ALGORITHM
        return hashlib.sha256(json.dumps(acts, sort_keys=True).encode()).hexdigest()


def gray_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """An image as it is, upright, in gray: uint8 (h, w); transparency on white.

    Raises:
        ImageError: unsupported_mode.
    """
    return np.asarray(eight_bit(upright(image), ground=255).convert("L"))


def crop(pixels: NDArray[np.uint8], sides: Crop) -> NDArray[np.uint8]:
    """Cut (top, bottom, left, right) pixels off (h, w, ...) pixels.

    Raises:
        ImageError: unreadable, where nothing would be left.
    """
    top, bottom, left, right = sides
    height, width = pixels.shape[:2]
    if top + bottom >= height or left + right >= width:
        raise ImageError(
            "unreadable",
            f"the crop (top {top}, bottom {bottom}, left {left}, right {right}) leaves nothing of "
            f"{width} x {height} pixels",
        )
    return pixels[top : height - bottom, left : width - right]


def border_median(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Median of the outermost pixels of (h, w) or (h, w, C), per channel: uint8 () or (C,).

    Of an even number the upper one of the two middle values, so that it is a value of the image.
    """
    frame = np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))
    middle = len(frame) // 2
    median: NDArray[np.uint8] = np.partition(frame, middle, axis=0)[middle]
    return median


def _fit_square(
    pixels: NDArray[np.uint8], size: int, factor: float | None = None
) -> NDArray[np.uint8]:
    """Resize, then pad in the middle of a square.

    By ``factor``, or so that the longer side is ``size``, where there is no factor or the image
    would not fit. Padding comes last: a 100,000 x 10 image would make a square of 10 gigapixels.
    """
    height, width = pixels.shape[:2]
    ground = border_median(pixels)
    longer = max(height, width)
    if factor is None or factor * longer > size:
        fit_height, fit_width = round(height * size / longer), round(width * size / longer)
    else:
        fit_height, fit_width = round(height * factor), round(width * factor)
    fit_height, fit_width = max(1, fit_height), max(1, fit_width)
    if (fit_height, fit_width) != (height, width):
        how = cv2.INTER_AREA if max(fit_height, fit_width) < longer else cv2.INTER_LINEAR
        fitted = cv2.resize(pixels, (fit_width, fit_height), interpolation=how)
        pixels = fitted  # type: ignore[assignment]  # cv2's stub leaves the dtype open
    if fit_height == fit_width == size:
        return pixels
    square = np.empty((size, size, *pixels.shape[2:]), np.uint8)
    square[...] = ground
    top, left = (size - fit_height) // 2, (size - fit_width) // 2
    square[top : top + fit_height, left : left + fit_width] = pixels
    return square
