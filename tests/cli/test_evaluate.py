from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer import Typer
from typer.testing import CliRunner, Result

from plankton_da.cli.evaluate import evaluate
from plankton_da.errors import BundleError, DataError, ManifestError, SomeImagesFailed

CLASSES = ("copepod", "medusa", "NA")


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    return tiny_bundle


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = ["object_id,image,instrument,label,split"]
    for instrument in ("CAM1", "CAM2"):
        for k in range(6):
            name = f"{instrument}{k}.png"
            Image.new("L", (20, 20), 40 + 30 * k).save(tmp_path / name)
            label = CLASSES[k // 2]
            lines.append(f"{name},{name},{instrument},{label},{'test' if k % 2 else 'train'}")
    path = tmp_path / "m.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _run(*arguments: object) -> Result:
    app = Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_is_one_document_with_the_agreed_keys(bundle: Path, manifest: Path) -> None:
    result = _run(bundle, manifest, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["split"] == "test"
    assert set(document["instruments"]) == {"CAM1", "CAM2"}
    for scores in (*document["instruments"].values(), document["overall"]):
        keys = {"n", "accuracy", "macro_recall", "macro_f1", "ece", "coverage", "per_class"}
        assert keys | {"macro_recall_ci", "unknown_labels", "failed"} == set(scores)
        assert set(scores["per_class"]) == set(CLASSES)
        assert set(scores["per_class"]["NA"]) == {"n", "recall", "precision"}
    assert document["instruments"]["CAM2"]["n"] == 3
    assert document["overall"]["n"] == 6


def test_table_is_readable_and_agrees_with_the_json(bundle: Path, manifest: Path) -> None:
    document = json.loads(_run(bundle, manifest, "--split", "all", "--json").stdout)
    result = _run(bundle, manifest, "--split", "all")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["CAM2:", "6", "images"] in lines
    recall = document["instruments"]["CAM2"]["per_class"]["NA"]["recall"]
    assert any(line[:3] == ["NA", "2", f"{recall:.3f}"] for line in lines)
    assert ["all", "instruments:", "12", "images"] in lines


def test_split_and_taxonomy(bundle: Path, manifest: Path, tmp_path: Path) -> None:
    taxonomy = tmp_path / "t.csv"
    taxonomy.write_text("label,class\ncopepod,NA\nmedusa,\nNA,NA\n")
    result = _run(bundle, manifest, "--split", "train", "--taxonomy", taxonomy, "--json")
    scores = json.loads(result.stdout)["overall"]
    assert scores["per_class"]["NA"]["n"] == scores["n"] == 4
    assert scores["per_class"]["copepod"]["n"] == 0
    assert json.loads(result.stdout)["dropped"] == {"medusa": 2}
    printed = _run(bundle, manifest, "--split", "train", "--taxonomy", taxonomy).stdout
    assert "2 rows left out by the taxonomy: medusa 2" in printed


def test_failed_images_are_exit_code_5_and_the_scores_are_printed(
    bundle: Path, manifest: Path
) -> None:
    (manifest.parent / "CAM21.png").write_bytes(b"")
    result = _run(bundle, manifest, "--json")
    assert isinstance(result.exception, SomeImagesFailed)
    assert result.exception.exit_code == 5
    assert "CAM21.png: empty_file" in str(result.exception)
    document = json.loads(result.stdout)
    assert document["instruments"]["CAM2"]["failed"] == 1
    assert document["instruments"]["CAM1"]["failed"] == 0
    assert document["failures"][0]["object_id"] == "CAM21.png"


def test_what_is_not_there(bundle: Path, manifest: Path, tmp_path: Path) -> None:
    assert isinstance(_run(tmp_path / "nothing", manifest).exception, BundleError)
    assert isinstance(_run(bundle, tmp_path / "nothing.csv").exception, ManifestError)
    assert isinstance(_run(bundle, manifest, "--split", "val").exception, DataError)
    assert _run(bundle).exit_code == 2
    assert _run(bundle, manifest, "--engine", "steam").exit_code == 2


def test_scores_under_a_prior_say_so(bundle: Path, manifest: Path, tmp_path: Path) -> None:
    prior = tmp_path / "prior.csv"
    prior.write_text("label,share\ncopepod,0\nmedusa,0\nNA,1\n")
    words = (bundle, manifest, "--split", "all", "--prior", prior)
    document = json.loads(_run(*words, "--json").stdout)
    assert document["prior"]["target"] == {"copepod": 0.0, "medusa": 0.0, "NA": 1.0}
    assert document["overall"]["per_class"]["NA"]["recall"] == 1
    assert document["overall"]["accuracy"] == pytest.approx(1 / 3)
    assert f"corrected by class shares ({prior})" in _run(*words).stdout
    error = _run(bundle, manifest, "--prior", "estimated").exception
    assert isinstance(error, BundleError)
    assert "holds no estimate" in str(error)
