"""The label maps and example manifests of ``data_manifests/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from plankton_da.manifests.checks import check_pair
from plankton_da.manifests.table import Manifest, read_manifest
from plankton_da.manifests.taxonomy import apply_taxonomy, read_taxonomy

FOLDER = Path(__file__).parents[2] / "data_manifests"
DROPPED_FROM_TEN = {"echinoderm_pluteus", "euphausiid", "polychaete"}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.csv")), ids=lambda path: path.name)
def test_every_file_is_read(path: Path) -> None:
    if path.parent.name == "examples":
        assert len(read_manifest(path).table)
    else:
        assert read_taxonomy(path)


def test_the_maps_have_thirteen_and_ten_classes() -> None:
    thirteen = read_taxonomy(FOLDER / "isiis_pwspc_13_classes.csv")
    ten = read_taxonomy(FOLDER / "isiis_pwspc_10_classes.csv")
    classes = set(thirteen.values()) - {""}
    assert len(classes) == 13
    assert set(ten.values()) - {""} == classes - DROPPED_FROM_TEN
    expected = {k: "" if v in DROPPED_FROM_TEN else v for k, v in thirteen.items()}
    assert ten == expected
    assert all(thirteen[name] == name for name in classes)  # mapping twice does no harm


def test_the_map_of_thirteen_is_that_of_the_real_archive(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "isiis_pwspc" / "all.csv", dtype=str, keep_default_na=False)
    taxonomy = read_taxonomy(FOLDER / "isiis_pwspc_13_classes.csv")
    mapped = table["original_label"].map(taxonomy)
    shared = ~table["split"].str.contains("private")
    assert (mapped[shared] == table["label"][shared]).all()
    assert (mapped[~shared] == "").all()


def test_the_examples_can_be_trained_on_together() -> None:
    taxonomy = read_taxonomy(FOLDER / "isiis_pwspc_10_classes.csv")
    mid, target = (
        Manifest.of(apply_taxonomy(read.table, taxonomy), read.root, read.path)
        for read in (read_manifest(FOLDER / "examples" / f"{n}.csv") for n in ("isiis", "pwspc"))
    )
    assert not check_pair(mid, target)
    assert set(mid.table["label"]) == {"appendicularian", "copepod_calanoid", "hydromedusa"}
    assert len(target.table) == 4


def test_the_readme_names_every_file() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(path.name in text for path in FOLDER.glob("*.csv"))
