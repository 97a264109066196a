"""The whole journey, as ``plankton-da demo`` runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.demo.journey import SETTINGS, DemoResult, describe, run_demo, target_macro_recall
from plankton_da.errors import OutputError
from plankton_da.tracking.registry import resolve_bundle

TINY = {
    **SETTINGS,
    "data.image_size": 32,
    "model.backbone": "test_resnet",
    "model.pretrained": "none",
    "training.steps": 2,
    "training.evaluate_every": 2,
}

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning"
)  # mlflow's pyfunc warns of type hints


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run_demo(
        tmp_path_factory.mktemp("parent") / "demo",
        settings=TINY,
        mid_per_class=14,
        target_images=20,
        target_test_images=30,
    )


def test_both_methods_are_scored_on_both_cameras(result: DemoResult) -> None:
    for document in (result.source_only, result.dann):
        assert set(document["instruments"]) == {MID_INSTRUMENT, TARGET_INSTRUMENT}
        assert document["instruments"][TARGET_INSTRUMENT]["n"] == 30
        json.dumps(document)


def test_the_better_one_is_registered_and_classifies_everything(result: DemoResult) -> None:
    scores = {
        "source_only": target_macro_recall(result.source_only),
        "dann": target_macro_recall(result.dann),
    }
    assert scores[result.better] == max(scores.values())
    folder = resolve_bundle("models:/plankton_demo@candidate", result.tracking_uri)
    info = json.loads((folder / "bundle.json").read_text())
    assert info["method"] == result.better
    assert result.registered == "models:/plankton_demo/1"
    table = pd.read_csv(result.predictions, dtype=str, keep_default_na=False)
    assert len(table) == 20
    assert (table["error"] == "").all()
    assert sum(result.labels.values()) == 20


def test_what_is_printed_names_files_that_exist(
    result: DemoResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(result.out.parent)
    words = describe(result)
    for line in words.splitlines():
        if line.startswith(("images ", "manifests ", "configs ", "predictions ")):
            for name in line.split(maxsplit=1)[1].split(", "):
                assert Path(name).exists(), name
    assert "mlflow ui --backend-store-uri sqlite:///" in words


def test_a_folder_in_use_is_not_touched(result: DemoResult, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--overwrite"):
        run_demo(result.out, settings=TINY)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"give another --out$"):
        run_demo(tmp_path, settings=TINY, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_adaptation_gains_on_the_new_camera(tmp_path: Path, seed: int) -> None:
    demo = run_demo(tmp_path / "demo", seed=seed)
    assert target_macro_recall(demo.dann) > target_macro_recall(demo.source_only)
