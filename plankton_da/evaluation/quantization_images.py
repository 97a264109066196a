"""The images that an 8-bit model is settled on, and those that it is judged by."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import DataError, ImageError, ManifestError
from plankton_da.images.refs import open_image
from plankton_da.manifests.splits import mid_split
from plankton_da.manifests.table import Manifest, read_manifest
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy
from plankton_da.networks.bundle import BundleInfo
from plankton_da.prediction.predictor import available_cores

if TYPE_CHECKING:
    import pandas as pd

CALIBRATION = 256
"""images of each domain"""
_JUDGED = 4096
"""images of each domain at most"""
_COLUMNS = ("image", "instrument", "label", "split", "group")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """Preprocessed images."""

    pixels: NDArray[np.uint8]
    """(N, H, W, C)"""
    instruments: list[str]
    labels: list[str]

    def channels_first(self) -> NDArray[np.uint8]:
        """(N, C, H, W)"""
        return np.ascontiguousarray(self.pixels.transpose(0, 3, 1, 2))

    def counts(self) -> dict[str, int]:
        """Instrument -> images."""
        return {name: self.instruments.count(name) for name in sorted(set(self.instruments))}


@dataclass(frozen=True)
class Choice:
    """What ``quantize`` looks at."""

    calibration: Images
    """training images of mid and target"""
    val: Images
    """labelled; of mid's val split"""
    target: Images
    """training images of the target, others than those of ``calibration`` where there are"""
    manifests: dict[str, str]
    """file -> fingerprint"""


def choose_images(
    info: BundleInfo,
    mid: Sequence[Path],
    target: Sequence[Path],
    taxonomy: Path | None,
    *,
    progress: bool,
) -> Choice:
    """Draw, with the bundle's seed, and read images of the splits that training had.

    Raises
    ------
    DataError
        No image of one of the kinds, or a manifest that is not there any more or has changed.
    ManifestError
        A manifest or the taxonomy has problems.
    """
    rng = np.random.default_rng(info.seed)
    read = _manifests(info, mid, target)
    of_mid, of_target = (
        _rows(read, instruments) for instruments in (info.mid_instruments, info.target_instruments)
    )
    labelled = of_mid[of_mid["label"] != ""].reset_index(drop=True)
    labelled = mid_split(_mapped(labelled, info, taxonomy), info.seed)
    labelled = labelled[labelled["label"].isin(info.classes)]
    train = labelled[labelled["split"] == "train"]
    val = labelled[labelled["split"] == "val"]
    seen = of_target[of_target["split"].isin(["", "train"])]
    for words, rows in (
        (f"no labelled training image of mid ({', '.join(info.mid_instruments)})", train),
        (f"no labelled image of mid's val split ({', '.join(info.mid_instruments)})", val),
        (f"no training image of the target ({', '.join(info.target_instruments)})", seen),
    ):
        if rows.empty:
            names = ", ".join(str(manifest.path) for manifest in read)
            raise DataError(f"{names}: {words}; give manifests that have some: --mid, --target")
    order = rng.permutation(len(seen))
    first, others = order[:CALIBRATION], order[CALIBRATION:]
    if not len(others):
        others = first
    mids = rng.permutation(len(train))[:CALIBRATION]
    import pandas as pd

    reader = _Reader(info, progress)
    return Choice(
        reader.read(pd.concat([train.iloc[mids], seen.iloc[first]]), "calibration images"),
        reader.read(val.iloc[rng.permutation(len(val))[:_JUDGED]], "mid val images"),
        reader.read(seen.iloc[others[:_JUDGED]], "target images"),
        {str(manifest.path): manifest.fingerprint for manifest in read},
    )


def _manifests(info: BundleInfo, mid: Sequence[Path], target: Sequence[Path]) -> list[Manifest]:
    if mid and target:
        return [read_manifest(path) for path in (*mid, *target)]
    given = [*mid, *target]
    changed, found = [], []
    for name, fingerprint in info.manifests.items():
        try:
            manifest = read_manifest(name)
        except ManifestError as error:
            changed.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        known = info.mid_instruments if mid else info.target_instruments if target else ()
        if known and set(manifest.instruments) <= set(known):
            continue  # given instead
        if manifest.fingerprint != fingerprint:
            changed.append(f"{name}: has changed since the bundle was trained on it")
        found.append(manifest)
    if changed or not info.manifests:
        listed = "; ".join(changed) or "the bundle names none"
        raise DataError(
            f"the manifests that the bundle was trained on are needed ({listed}); say where they "
            f"are: --mid M.csv --target T.csv"
        )
    return [*found, *(read_manifest(path) for path in given)]


def _rows(manifests: Sequence[Manifest], instruments: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    tables = []
    for manifest in manifests:
        columns = {name: manifest.column(name) for name in _COLUMNS}
        table = pd.DataFrame(columns).assign(root=str(manifest.root))
        tables.append(table[table["instrument"].isin(instruments)])
    return pd.concat(tables, ignore_index=True)


def _mapped(table: pd.DataFrame, info: BundleInfo, taxonomy: Path | None) -> pd.DataFrame:
    trained_with = info.config.get("data", {}).get("taxonomy")
    if taxonomy is None and trained_with is not None:
        taxonomy = Path(trained_with)
        if not taxonomy.is_file():
            raise DataError(
                f"{taxonomy}: the taxonomy that the bundle was trained with is not there; say "
                f"where it is: --taxonomy T.csv"
            )
    if taxonomy is None:
        return table
    return apply_taxonomy(table, read_taxonomy(taxonomy)).reset_index(drop=True)


class _Reader:
    def __init__(self, info: BundleInfo, progress: bool) -> None:
        self._preprocess = info.preprocess
        self._progress = progress

    def read(self, rows: pd.DataFrame, what: str) -> Images:
        """The images that can be read; how many cannot is said."""
        from tqdm import tqdm

        def one(ref: str, root: str, instrument: str) -> NDArray[np.uint8] | None:
            try:
                return self._preprocess(open_image(ref, Path(root)), instrument)
            except ImageError:
                return None

        with ThreadPoolExecutor(available_cores()) as pool:
            each = pool.map(one, rows["image"], rows["root"], rows["instrument"])
            disable = None if self._progress else True
            found = list(tqdm(each, total=len(rows), desc=what, unit=" images", disable=disable))
        good = [place for place, pixels in enumerate(found) if pixels is not None]
        if len(good) < len(rows):
            log.warning("%d of %d %s cannot be read", len(rows) - len(good), len(rows), what)
        if not good:
            raise DataError(
                f"none of {len(rows)} {what} can be read; see: plankton-da manifest check"
            )
        chosen = rows.iloc[good]
        pixels = np.stack([each for each in found if each is not None])
        return Images(pixels, list(chosen["instrument"]), list(chosen["label"]))
