"""Predictions under the class shares of the target instead of those that the network learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plankton_da.errors import BundleError, ManifestError, suggest
from plankton_da.networks.bundle import BundleInfo

NO_PRIOR, ESTIMATED = "none", "estimated"
_LISTED = 20


@dataclass(frozen=True)
class PriorCorrection:
    """p(class | image) * target share / presumed share, scaled to sum 1."""

    source: str
    """``estimated``, or the file"""
    presumed: dict[str, float]
    """class -> share that the network's probabilities presume"""
    target: dict[str, float]
    """class -> share in the images that are classified"""
    instruments: tuple[str, ...] | None
    """cameras whose images it is for; None: all"""

    def __call__(self, probabilities: NDArray[np.float32], instrument: str) -> NDArray[np.float32]:
        """Corrected probabilities (N, K), float32; those of other cameras as they are."""
        if self.instruments is not None and instrument not in self.instruments:
            return probabilities
        presumed, target = list(self.presumed.values()), list(self.target.values())
        return correct_prior(probabilities, presumed, target).astype(np.float32)

    @property
    def key(self) -> str | dict[str, float]:
        """What tells rows made with one prior from rows made with another, of one bundle."""
        return ESTIMATED if self.source == ESTIMATED else self.target


def correct_prior(
    probabilities: ArrayLike, mid_prior: ArrayLike, target_prior: ArrayLike
) -> NDArray[np.float64]:
    """Probabilities (N, K) that presume ``mid_prior`` (K,), under ``target_prior`` (K,): Bayes.

    A class whose target share is 0 gets 0. A row that is left with nothing stays as it was.

    Raises
    ------
    ValueError
        The shapes do not fit, or a share is negative (of mid: or 0).

    Source: Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
    Neural Computation 14 (2002), equation 2.4.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    mid = np.asarray(mid_prior, dtype=np.float64)
    target = np.asarray(target_prior, dtype=np.float64)
    if given.ndim != 2 or mid.shape != given.shape[1:] or target.shape != mid.shape:
        raise ValueError(
            f"expected probabilities (N, K) and two priors (K,); got {given.shape}, {mid.shape}, "
            f"{target.shape}"
        )
    if not (np.isfinite(mid).all() and (mid > 0).all()):
        raise ValueError(f"shares of classes must be positive; got {mid}")
    if not (np.isfinite(target).all() and (target >= 0).all() and target.sum() > 0):
        raise ValueError(f"target_prior must be {mid.shape} shares of 0 or more; got {target}")
    weighted = given * (target / target.sum() / (mid / mid.sum()))  # (N, K)
    total = weighted.sum(axis=1, keepdims=True)
    corrected: NDArray[np.float64] = np.where(
        total > 0, weighted / np.where(total, total, 1), given
    )
    return corrected


def find_prior(asked: str, info: BundleInfo) -> PriorCorrection | None:
    """What ``--prior`` asks for: ``none``, ``estimated`` (as the bundle has it), or a table.

    Raises
    ------
    BundleError
        ``estimated``, and the bundle holds no estimate.
    ManifestError
        The table cannot be read, or its labels are not the bundle's classes.
    """
    if asked == NO_PRIOR:
        return None
    presumed = presumed_shares(info)
    if asked == ESTIMATED:
        if not info.target_prior:
            raise BundleError(
                "--prior estimated: this bundle holds no estimate of the target's class shares; "
                "train it again, or give shares of your own: --prior FILE.csv (label,share)"
            )
        target = _in_order(info.target_prior, info)
        return PriorCorrection(ESTIMATED, presumed, target, info.target_instruments)
    return PriorCorrection(asked, presumed, read_prior(Path(asked), info.classes), None)


def read_prior(path: Path, classes: tuple[str, ...]) -> dict[str, float]:
    """Class -> share, sum 1, from a CSV or Parquet table with the columns label and share.

    Shares may be counts or per cent: they are scaled. Every class needs a row; 0 rules it out.

    Raises
    ------
    ManifestError
        Everything that is wrong with it, listed.
    """
    if not path.exists():
        raise ManifestError(
            f"--prior {path}: expected none, estimated, or a table with the columns label,share; "
            f"no such file"
        )
    from plankton_da.manifests.reading import read_table

    raw = read_table(path)
    raw.problems.raise_if_any()
    table = raw.table
    if missing := [name for name in ("label", "share") if name not in table]:
        raise ManifestError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(table.columns)}; a prior "
            f"has one row per class: label,share"
        )
    shares: dict[str, float] = {}
    problems = []
    for row, (label, text) in enumerate(zip(table["label"], table["share"], strict=True)):
        where = f"{path}, line {raw.lines.of(row)}"
        share = _share(text)
        if label not in classes:
            problems.append(f"{where}: {label!r} is no class of this bundle")
            problems[-1] += suggest(label, classes)
        elif label in shares:
            problems.append(f"{where}: {label!r} has a share already")
        elif share is None:
            problems.append(f"{where}: a share is a number of 0 or more; found {text!r}")
        shares[label] = share or 0.0
    if without := [name for name in classes if name not in shares]:
        problems.append(f"{path}: no row for {', '.join(without)}; 0 rules a class out")
    if not problems and not sum(shares.values()) > 0:
        problems.append(f"{path}: all shares are 0")
    if problems:
        if len(problems) > _LISTED:
            problems[_LISTED:] = [f"and {len(problems) - _LISTED} more"]
        raise ManifestError("\n".join(problems))
    total = sum(shares.values())
    return {name: shares[name] / total for name in classes}


def _in_order(shares: Mapping[str, float], info: BundleInfo) -> dict[str, float]:
    return {name: shares[name] for name in info.classes}


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 <= share < float("inf") else None


def presumed_shares(info: BundleInfo) -> dict[str, float]:
    """Class -> share that a bundle's probabilities presume.

    Of bundles that do not say so: the shares of classes in the training batches.
    """
    if info.presumed_prior:
        return _in_order(info.presumed_prior, info)
    data: Mapping[str, object] = info.config.get("data", {})
    if data.get("sampler") == "uniform" and all(info.priors.get(name) for name in info.classes):
        return _in_order(info.priors, info)
    return {name: 1 / len(info.classes) for name in info.classes}
