"""Class shares at prediction: Bayes, for whom, and that rows with and without stay apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plankton_da.errors import BundleError, ManifestError
from plankton_da.manifests.table import read_manifest
from plankton_da.networks.bundle import read_bundle_info
from plankton_da.prediction.folder import classify
from plankton_da.prediction.predictor import Predictor
from plankton_da.prediction.prior import correct_prior, find_prior, read_prior

CLASSES = ("copepod", "medusa", "NA")
PRESUMED = {"copepod": 0.5, "NA": 0.2, "medusa": 0.3}
TARGET = {"medusa": 0.1, "copepod": 0.2, "NA": 0.7}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """One that knows its target's class shares."""
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    path = folder / "bundle.json"
    document = json.loads(path.read_text()) | {"presumed_prior": PRESUMED, "target_prior": TARGET}
    path.write_text(json.dumps(document))
    return folder


@pytest.fixture
def images(tmp_path: Path, draw: Callable[[Path, int], Path]) -> Path:
    for k in range(12):
        draw(tmp_path / "in" / f"{k}.png", k)
    return tmp_path / "in"


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["label,share", *rows]) + "\n")
    return path


def test_the_correction_is_bayes_rule() -> None:
    """Two Gaussians: the posterior under one mix, corrected, is the posterior under the other."""
    x = np.linspace(-3, 3, 50)
    densities = np.stack([np.exp(-((x - m) ** 2) / 2) for m in (-1, 0, 1)], axis=1)
    mixes = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])
    one, other = (densities * mix / (densities * mix).sum(1, keepdims=True) for mix in mixes)
    np.testing.assert_allclose(correct_prior(one, mixes[0], mixes[1]), other, atol=1e-12)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_estimated_is_for_the_target_alone(bundle: Path, engine: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 32, 32, 1), dtype=np.uint8)
    plain = Predictor.open(bundle)
    corrected = Predictor.open(bundle, engine="auto", prior="estimated")
    p = plain.probabilities(pixels, "CAM2").astype(np.float64)
    weighted = p * [0.2 / 0.5, 0.1 / 0.3, 0.7 / 0.2]
    expected = weighted / weighted.sum(1, keepdims=True)
    found = corrected.probabilities(pixels, "CAM2")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    of_mid = corrected.probabilities(pixels, "CAM1")
    np.testing.assert_array_equal(of_mid, plain.probabilities(pixels, "CAM1"))
    one_by_one = np.concatenate([corrected.probabilities(p[None], "CAM2") for p in pixels])
    np.testing.assert_allclose(one_by_one, found, atol=1e-6)


def test_a_file_is_for_every_camera_and_may_hold_counts(bundle: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "p.csv", "NA,30", "medusa,0", "copepod,10")
    pixels = np.random.default_rng(0).integers(0, 255, (9, 32, 32, 1), dtype=np.uint8)
    predictor = Predictor.open(bundle, prior=str(table))
    for camera in ("CAM1", "CAM2"):
        p = Predictor.open(bundle).probabilities(pixels, camera).astype(np.float64)
        weighted = p * [0.25 / 0.5, 0, 0.75 / 0.2]
        found = predictor.probabilities(pixels, camera)
        np.testing.assert_allclose(found, weighted / weighted.sum(1, keepdims=True), atol=1e-6)
        assert (found[:, 1] == 0).all()


def test_classify_with_a_prior_and_what_it_leaves_behind(
    bundle: Path, images: Path, tmp_path: Path
) -> None:
    def scores(name: str, **options: str) -> np.ndarray:
        classify(bundle, [images], tmp_path / name, all_scores=True, progress=False, **options)
        table = read_manifest(tmp_path / name).table
        return table[[f"p_{label}" for label in CLASSES]].to_numpy(np.float64)

    plain, corrected = scores("plain.csv"), scores("estimated.csv", prior="estimated")
    presumed, target = ([shares[k] for k in CLASSES] for shares in (PRESUMED, TARGET))
    np.testing.assert_allclose(corrected, correct_prior(plain, presumed, target), atol=1e-6)
    run = json.loads((tmp_path / "estimated.run.json").read_text())
    assert run["options"]["prior"] == "estimated"
    assert run["prior"]["target"] == TARGET
    assert run["prior"]["presumed"] == PRESUMED
    assert json.loads((tmp_path / "plain.run.json").read_text())["prior"] is None


def test_rows_of_two_priors_are_never_mixed(bundle: Path, images: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "p.csv", "NA,3", "medusa,4", "copepod,1")
    out = tmp_path / "P.csv"

    def run(prior: str) -> None:
        classify(bundle, [images], out, prior=prior, progress=False)

    run(str(table))
    run(str(shutil.copy(table, tmp_path / "copy.csv")))  # the shares count, not the file's name
    for other in ("none", "estimated"):
        with pytest.raises(BundleError, match="prior: "):
            run(other)
    write(table, "NA,3", "medusa,4", "copepod,2")
    with pytest.raises(BundleError, match="prior: "):
        run(str(table))


def test_rows_made_before_there_were_priors_stay_valid(
    bundle: Path, images: Path, tmp_path: Path
) -> None:
    classify(bundle, [images], tmp_path / "P.csv", progress=False)
    options = json.loads((tmp_path / "P.run.json").read_text())["options"]
    assert "prior" not in options


def test_a_table_of_shares_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    bad = write(
        tmp_path / "p.csv", "copepode,0.2", "medusa,much", "medusa,0.5", "copepod,-1", "medusa,1"
    )
    with pytest.raises(ManifestError) as error:
        read_prior(bad, CLASSES)
    lines = str(error.value).splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "'copepode' is no class of this bundle; did you mean copepod?",
        "a share is a number of 0 or more; found 'much'",
        "'medusa' has a share already",
        "a share is a number of 0 or more; found '-1'",
        "'medusa' has a share already",
        "no row for NA; 0 rules a class out",
    ]
    assert lines[0].startswith(f"{bad}, line 2: ")
    with pytest.raises(ManifestError, match="all shares are 0"):
        read_prior(write(tmp_path / "z.csv", *(f"{name},0" for name in CLASSES)), CLASSES)
    with pytest.raises(ManifestError, match="expected none, estimated, or a table"):
        read_prior(tmp_path / "estimate", CLASSES)
    (tmp_path / "c.csv").write_text("class,share\na,1\n")
    with pytest.raises(ManifestError, match="no column label"):
        read_prior(tmp_path / "c.csv", CLASSES)


def test_a_bundle_without_estimate_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    info = read_bundle_info(tiny_bundle)
    with pytest.raises(BundleError, match="holds no estimate"):
        find_prior("estimated", info)
    table = write(tmp_path / "p.csv", *(f"{name},1" for name in CLASSES))
    found = find_prior(str(table), info)
    assert found is not None
    assert found.presumed == pytest.approx(dict.fromkeys(CLASSES, 1 / 3)), "batches were balanced"


def test_a_bundle_whose_shares_lack_a_class_is_damaged(bundle: Path) -> None:
    path = bundle / "bundle.json"
    document = json.loads(path.read_text()) | {"target_prior": {"copepod": 1.0}}
    path.write_text(json.dumps(document))
    with pytest.raises(BundleError, match="target_prior must have one share per class"):
        read_bundle_info(bundle)
