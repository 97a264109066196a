"""The configs that come with the package: one per method, as ``init`` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from plankton_da.config import SOURCE_FREE_METHODS, method_configs
from plankton_da.config_reading import load_config, parse_config
from plankton_da.config_text import PRESETS, config_text

CONFIGS = Path(__file__).parent.parent / "configs"
METHODS = sorted(method_configs())


def test_one_config_per_method_and_the_recommended() -> None:
    names = sorted([*METHODS, "recommended"])
    assert sorted(path.name for path in CONFIGS.iterdir()) == [f"{name}.yaml" for name in names]


def test_the_recommended_config_gives_its_reasons_where_it_differs() -> None:
    lines = config_text("recommended").splitlines()
    reasons = [number for number, line in enumerate(lines) if line.strip().startswith("# why:")]
    assert len(reasons) >= 5
    keys = [
        next(
            line.split(":")[0].strip()
            for line in lines[number:]
            if not line.strip().startswith("#")
        )
        for number in reasons
    ]
    assert {"name", "freeze", "augmentation"} <= set(keys)


def test_config_classes_presets_and_methods_are_of_the_same_methods() -> None:
    from plankton_da.adaptation.methods import METHODS as CLASSES

    assert list(method_configs()) == list(CLASSES) == list(PRESETS)


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.name)
def test_config_loads(path: Path) -> None:
    config = load_config(path)
    assert config.method.name == path.stem or path.stem == "recommended"
    assert config.output_dir == f"runs/{path.stem}"


@pytest.mark.parametrize("method", METHODS)
def test_config_is_what_init_writes(method: str) -> None:
    found = (CONFIGS / f"{method}.yaml").read_text(encoding="utf-8")
    assert found == config_text(method), "out of date; run: python docs/generate.py"


@pytest.mark.parametrize("method", METHODS)
def test_text_of_a_config_says_every_value(method: str, tmp_path: Path) -> None:
    changes = {
        "seed": 7,
        "data.image_size": 96,
        "data.taxonomy": "no.csv",
        "data.preprocess.instruments": {"0815": {"polarity": "light_on_dark"}},
        "optimizer.lr": 3e-4,
        "model.freeze": 2,
    }
    mid = None if method in SOURCE_FREE_METHODS else ("a: b.csv", "null")
    (tmp_path / "c.yaml").write_text(
        config_text(method, mid=mid, target=("t.csv", "null"), changes=changes)
    )
    found = load_config(tmp_path / "c.yaml")
    assert found.data.mid == mid
    assert found.data.target == ("t.csv", "null")
    assert found.data.taxonomy == "no.csv"
    assert (found.seed, found.data.image_size, found.optimizer.lr) == (7, 96, 3e-4)
    assert found.data.preprocess.instruments["0815"].polarity == "light_on_dark"
    assert found.model.freeze == 2
    assert parse_config(found.model_dump(mode="json")) == found


def test_dann_config_is_the_article_objective() -> None:
    config = load_config(CONFIGS / "dann.yaml")
    assert config.model.bottleneck_dim == 0  # D and head on the pooled features themselves
    assert config.method.model_dump() == {
        "name": "dann",
        "grl_strength": 1.0,
        "adversarial_weight": 1.0,
        "hidden_dim": 1024,
    }
