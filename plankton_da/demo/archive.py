"""A small archive of both drawn cameras, in folders as a lab would have them."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT, darkfield, shadowgraph
from plankton_da.demo.drawing import TAXA, Scene, draw_scene
from plankton_da.errors import OutputError

Camera = Callable[[Scene, np.random.Generator], NDArray[np.uint8]]

TARGET_PROPORTIONS: Mapping[str, float] = {
    "detritus": 0.25,
    "copepod": 0.22,
    "diatom_chain": 0.16,
    "appendicularian": 0.14,
    "medusa": 0.13,
    "chaetognath": 0.10,
}
"""What swims before the target camera; before the mid camera every taxon is equally frequent."""

_MID, _POOL, _TEST = 0, 1, 2  # streams of random numbers: one part's size does not move another's


@dataclass(frozen=True)
class DemoArchive:
    """Where ``write_archive`` put things."""

    folder: Path
    mid: Path
    """mid/<taxon>/*.png: the labelled archive"""
    target_pool: Path
    """target/unlabelled/*.png, flat: to adapt to, and to classify"""
    target_test: Path
    """target/test/<taxon>/*.png: labelled, only to measure"""
    truth: Path
    """CSV with the columns image,instrument,label,split: every image, the unlabelled too"""


def write_archive(
    folder: Path,
    *,
    seed: int,
    mid_per_class: int = 100,
    target_images: int = 600,
    target_test_images: int = 300,
    proportions: Mapping[str, float] = TARGET_PROPORTIONS,
) -> DemoArchive:
    """Draw an archive of PNG files; the same arguments give the same bytes.

    Parameters
    ----------
    folder : is made; it may exist, but only empty. It appears whole or not at all.
    mid_per_class : labelled images of each of the six taxa, seen by the mid camera
    target_images : images of the unlabelled pool, seen by the target camera
    target_test_images : labelled images of the target camera
    proportions : taxon -> share of the target's images (scaled to sum 1; an absent taxon is 0)

    Raises
    ------
    OutputError
        The folder holds something already, or cannot be written.
    ValueError
        A count is negative, or ``proportions`` names an unknown taxon or sums to nothing.
    """
    if min(mid_per_class, target_images, target_test_images) < 0:
        raise ValueError("the numbers of images must not be negative")
    folder = Path(folder)
    pool = _shuffled(_apportion(target_images, proportions), seed, _POOL)
    test = _shuffled(_apportion(target_test_images, proportions), seed, _TEST)
    mid = [taxon for taxon in TAXA for _ in range(mid_per_class)]
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(
                f"{folder}: exists and is not an empty folder; remove it or name another"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _fill(unfinished, seed, mid, pool, test)
            unfinished.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            os.replace(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write the drawn images: {error}") from None
    target = folder / "target"
    return DemoArchive(
        folder, folder / "mid", target / "unlabelled", target / "test", folder / "truth.csv"
    )


def _fill(
    folder: Path, seed: int, mid: Sequence[str], pool: Sequence[str], test: Sequence[str]
) -> None:
    for part in ("mid", "target/unlabelled", "target/test"):
        (folder / part).mkdir(parents=True)
    rows = [
        *_draw(folder, seed, _MID, mid, "mid/{taxon}/{index:05d}.png"),
        *_draw(folder, seed, _POOL, pool, "target/unlabelled/{index:05d}.png"),
        *_draw(folder, seed, _TEST, test, "target/test/{taxon}/{index:05d}.png"),
    ]
    with (folder / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "instrument", "label", "split"))
        writer.writerows(rows)


def _draw(
    folder: Path, seed: int, stream: int, taxa: Sequence[str], pattern: str
) -> Iterator[tuple[str, str, str, str]]:
    instrument, camera = _CAMERAS[stream]
    split = "test" if stream == _TEST else "train"
    for index, taxon in enumerate(taxa):
        rng = np.random.default_rng([seed, stream, index])
        image = PurePosixPath(pattern.format(taxon=taxon, index=index))
        path = folder / image
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_png(camera(draw_scene(taxon, rng), rng)))
        yield str(image), instrument, taxon, split


_CAMERAS: dict[int, tuple[str, Camera]] = {
    _MID: (MID_INSTRUMENT, shadowgraph),
    _POOL: (TARGET_INSTRUMENT, darkfield),
    _TEST: (TARGET_INSTRUMENT, darkfield),
}


def _png(picture: NDArray[np.uint8]) -> bytes:
    """``picture`` is (H, W) gray or (H, W, 3) RGB."""
    ordered = np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture
    _, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return encoded.tobytes()


def _apportion(count: int, proportions: Mapping[str, float]) -> list[str]:
    """``count`` taxa in the given proportions, the largest remainders rounded up."""
    unknown = sorted(set(proportions) - set(TAXA))
    shares = np.array([float(proportions.get(taxon, 0)) for taxon in TAXA])
    if unknown or shares.min() < 0 or not 0 < shares.sum() < np.inf:
        raise ValueError(
            f"proportions: expected shares of {', '.join(TAXA)}, none negative, not all 0; "
            f"found {dict(proportions)}"
        )
    exact = count * shares / shares.sum()
    whole = np.floor(exact).astype(int)
    first = np.argsort(whole - exact, kind="stable")[: count - whole.sum()]
    whole[first] += 1
    return [taxon for taxon, n in zip(TAXA, whole, strict=True) for _ in range(n)]


def _shuffled(taxa: Sequence[str], seed: int, stream: int) -> list[str]:
    order = np.random.default_rng([seed, stream]).permutation(len(taxa))
    return [taxa[i] for i in order]
