"""When predictions abstain: the entropy, the share of mid, and what a result then holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plankton_da.errors import BundleError, UsageError
from plankton_da.networks.bundle import read_bundle_info
from plankton_da.prediction.abstention import (
    PERCENTILES,
    entropy,
    entropy_limit,
    entropy_percentiles,
)
from plankton_da.prediction.folder import classify


def test_entropy_is_0_where_sure_and_log_k_where_all_are_alike() -> None:
    rows = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]], np.float32)
    np.testing.assert_allclose(entropy(rows), [0, np.log(4), np.log(2)], atol=1e-12)
    assert np.isnan(entropy(np.full((1, 4), np.nan))).all()


def with_entropies(tiny_bundle: Path, folder: Path, probabilities: np.ndarray) -> Path:
    shutil.copytree(tiny_bundle, folder)
    path = folder / "bundle.json"
    known = {"mid_entropy": entropy_percentiles(probabilities)}
    path.write_text(json.dumps(json.loads(path.read_text()) | known))
    return folder


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_the_share_of_mid_would_abstain(tiny_bundle: Path, tmp_path: Path, share: float) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 1000)
    folder = with_entropies(tiny_bundle, tmp_path / "bundle", probabilities)
    info = read_bundle_info(folder)
    assert len(info.mid_entropy) == PERCENTILES
    limit = entropy_limit(share, info)
    assert (entropy(probabilities) > limit).mean() == pytest.approx(share, abs=0.002)
    assert entropy_limit(0, info) == np.inf


def test_what_cannot_be(tiny_bundle: Path) -> None:
    info = read_bundle_info(tiny_bundle)
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(UsageError, match="share of mid's images"):
            entropy_limit(share, info)
    with pytest.raises(BundleError, match="train it again with this version"):
        entropy_limit(0.05, info)
    assert entropy_percentiles(np.empty((0, 3))) == ()


def test_just_the_uncertain_images_become_unclassified(
    tiny_bundle: Path, tmp_path: Path, draw: Callable[[Path, int], Path]
) -> None:
    for k in range(12):
        draw(tmp_path / "in" / f"{k}.png", k)
    (tmp_path / "in" / "empty.png").touch()
    plain, out = tmp_path / "plain.parquet", tmp_path / "P.parquet"
    classify(tiny_bundle, [tmp_path / "in"], plain, all_scores=True, progress=False)
    before = pd.read_parquet(plain)
    probabilities = before[[f"p_{name}" for name in ("copepod", "medusa", "NA")]].to_numpy()
    good = ~np.isnan(probabilities[:, 0])
    bundle = with_entropies(tiny_bundle, tmp_path / "bundle", probabilities[good])
    options = {"all_scores": True, "progress": False}
    classify(bundle, [tmp_path / "in"], out, abstain=0.3, **options)  # type: ignore[arg-type]
    after = pd.read_parquet(out)
    doubtful = (after["label"] == "unclassified").to_numpy()
    limit = entropy_limit(0.3, read_bundle_info(bundle))
    np.testing.assert_array_equal(doubtful, entropy(probabilities) > limit)
    assert doubtful.sum() == 4  # of twelve; the failed image has an error and no label
    pd.testing.assert_frame_equal(
        after.drop(columns="label")[~doubtful], before.drop(columns="label")[~doubtful]
    )
    assert list(after["raw_label"]) == list(before["raw_label"])
    run = json.loads((tmp_path / "P.run.json").read_text())
    assert run["options"]["abstain"] == 0.3
    with pytest.raises(BundleError, match="--overwrite"):
        classify(bundle, [tmp_path / "in"], out, **options)  # type: ignore[arg-type]
