"""Whole runs, small: what they record, what they never read, and that all paths see one image."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from plankton_da.adaptation.checkpoints import read_checkpoint
from plankton_da.adaptation.compare import compare
from plankton_da.adaptation.methods import METHODS
from plankton_da.adaptation.preparation import prepare
from plankton_da.adaptation.run_folder import TrainResult
from plankton_da.adaptation.start import build_method, find_start
from plankton_da.adaptation.training import train
from plankton_da.config import Config
from plankton_da.config_reading import parse_config
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.errors import ConfigError, ManifestError
from plankton_da.manifests.table import read_manifest, write_manifest


def small_config(manifests: tuple[Path, Path], out: Path, method: str, **changes: Any) -> Config:
    """Four steps of a tiny network."""
    raw: dict[str, Any] = {
        "output_dir": str(out),
        "data": {
            "mid": str(manifests[0]),
            "target": str(manifests[1]),
            "image_size": 32,
            "batch_size_per_instrument": 8,
            "workers": 0,
            "cache": "none",
        },
        "model": {"backbone": "test_resnet", "pretrained": "none", "bottleneck_dim": 8},
        "method": {"name": method},
        "training": {"steps": 4, "evaluate_every": 2, "yardstick": False},
        "tracking": {"backend": "none"},
    }
    for section, values in changes.items():
        raw[section] = {**raw.get(section, {}), **values}
    return parse_config(raw)


@pytest.fixture(scope="session")
def tracked(
    manifests: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, str]:
    """A run of ``dann`` that is recorded in MLflow, and the tracking URI."""
    folder = tmp_path_factory.mktemp("tracked")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    config = small_config(
        manifests, folder / "run", "dann", tracking={"backend": "mlflow", "uri": uri}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing mlflow's pyfunc warns of type hints
        return train(config), uri


def weights(result: TrainResult) -> dict[str, np.ndarray]:
    return load_file(Path(result.bundle) / "model.safetensors")


def same(left: TrainResult, right: TrainResult) -> bool:
    ours, theirs = weights(left), weights(right)
    return ours.keys() == theirs.keys() and all(
        np.array_equal(value, theirs[key]) for key, value in ours.items()
    )


@pytest.mark.parametrize("method", ["adabn", "dann", "self_training"])
def test_permuted_target_labels_give_bit_equal_weights(
    manifests: tuple[Path, Path], tmp_path: Path, method: str
) -> None:
    target = read_manifest(manifests[1]).table
    images = [str(manifests[1].parent / image) for image in target["image"]]
    shuffled = target["label"].sample(frac=1, random_state=1).to_numpy()
    assert (shuffled != target["label"]).any()
    write_manifest(target.assign(image=images, label=shuffled), tmp_path / "shuffled.csv")
    plain = train(small_config(manifests, tmp_path / "plain", method))
    other = train(
        small_config((manifests[0], tmp_path / "shuffled.csv"), tmp_path / "other", method)
    )
    assert same(plain, other)
    assert plain.selected_step == other.selected_step
    oracle = f"oracle/test/{TARGET_INSTRUMENT}/recall/copepod"
    assert plain.metrics[oracle] != other.metrics[oracle] or plain.metrics != other.metrics


@pytest.mark.parametrize(
    "method",
    # distill needs finished bundles first
    [name for name, method in METHODS.items() if not method.source_free and name != "distill"],
)
def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(
    manifests: tuple[Path, Path], tmp_path: Path, method: str
) -> None:
    """As if it had been killed before its last checkpoint was written."""
    config = small_config(manifests, tmp_path / "run", method)
    whole = train(config)
    expected = weights(whole)
    last = tmp_path / "run" / "checkpoints" / "step_0000004.pt"
    state = read_checkpoint(last).method
    last.unlink()
    (tmp_path / "run" / "result.json").unlink()
    shutil.rmtree(whole.bundle)
    resumed = train(config, resume=True)
    assert resumed == whole
    found = weights(resumed)
    assert all(np.array_equal(found[key], value) for key, value in expected.items())
    again = read_checkpoint(last).method
    assert again.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(again[key], value), key


@pytest.mark.parametrize("deploy", ["teacher", "student"])
def test_the_bundle_holds_one_network_of_the_two(
    manifests: tuple[Path, Path], tmp_path: Path, deploy: str
) -> None:
    raw = small_config(manifests, tmp_path / "run", "mic").model_dump(mode="json")
    result = train(parse_config({**raw, "method": {**raw["method"], "deploy": deploy}}))
    step = f"step_{result.selected_step:07d}.pt"
    state = read_checkpoint(tmp_path / "run" / "checkpoints" / step).method
    ours, other = "network.", "teacher.network."
    if deploy == "teacher":
        ours, other = other, ours
    found = weights(result)
    assert found.keys() == {key.removeprefix(ours) for key in state if key.startswith(ours)}
    assert all(np.array_equal(value, state[ours + key].numpy()) for key, value in found.items())
    assert not all(np.array_equal(value, state[other + key]) for key, value in found.items())


def test_the_bundle_has_no_discriminator_but_the_checkpoint_has(
    tracked: tuple[TrainResult, str],
) -> None:
    result, _ = tracked
    assert not [name for name in weights(result) if "discriminator" in name]
    checkpoints = sorted((Path(result.bundle).parent / "checkpoints").iterdir())
    assert [path.name for path in checkpoints] == ["step_0000002.pt", "step_0000004.pt"]
    method = read_checkpoint(checkpoints[-1]).method
    assert [name for name in method if name.startswith("discriminator")]


def test_target_metrics_are_marked_as_oracle(tracked: tuple[TrainResult, str]) -> None:
    metrics = tracked[0].metrics
    of_target = [key for key in metrics if TARGET_INSTRUMENT in key]
    assert of_target
    assert all(key.startswith("oracle/") for key in of_target)
    assert f"val/{MID_INSTRUMENT}/macro_recall" in metrics


def test_every_path_sees_the_same_pixels(
    tracked: tuple[TrainResult, str], manifests: tuple[Path, Path], tmp_path: Path
) -> None:
    """Training's preparation, evaluate, classify and the pyfunc, on the same image files."""
    from plankton_da.evaluation.evaluate import evaluate
    from plankton_da.images.refs import open_image
    from plankton_da.networks.bundle import read_bundle_info
    from plankton_da.prediction.folder import classify
    from plankton_da.prediction.predictor import Predictor

    result, _ = tracked
    folder = Path(result.bundle)
    info = read_bundle_info(folder)
    config = parse_config(json.loads((folder.parent / "run.json").read_text())["config"])
    data = prepare(
        config, (info.preprocess.mean, info.preprocess.std), tmp_path / "cache", progress=False
    )
    test = data.oracle["test"]
    root = manifests[1].parent
    refs = read_manifest(manifests[1]).rows("test")["image"].tolist()
    direct = np.stack([info.preprocess(open_image(ref, root), TARGET_INSTRUMENT) for ref in refs])
    trained = test.pixels.read_many(range(len(test)))
    np.testing.assert_array_equal(trained, direct)

    predictor = Predictor.open(folder, engine="torch")
    expected = predictor.probabilities(direct, TARGET_INSTRUMENT)
    rows = read_manifest(manifests[1]).rows("test")
    listed = rows.assign(image=[str(root / ref) for ref in rows["image"]])
    write_manifest(listed, tmp_path / "test.csv")
    classify(
        folder,
        [tmp_path / "test.csv"],
        tmp_path / "p.csv",
        engine="torch",
        all_scores=True,
        progress=False,
    )
    classified = pd.read_csv(tmp_path / "p.csv", dtype=str, keep_default_na=False)
    found = classified[[f"p_{name}" for name in info.classes]].to_numpy(dtype=np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    document = evaluate(predictor, [read_manifest(tmp_path / "test.csv")], "test", bootstrap=0)
    names = np.array(info.classes)[expected.argmax(1)]
    accuracy = (names == rows["label"].to_numpy()).mean()
    assert document["overall"]["accuracy"] == pytest.approx(accuracy)
    assert result.metrics[f"oracle/test/{TARGET_INSTRUMENT}/accuracy"] == pytest.approx(accuracy)


def test_a_run_in_mlflow_holds_everything(tracked: tuple[TrainResult, str]) -> None:
    from mlflow import MlflowClient

    result, uri = tracked
    client = MlflowClient(uri)
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["method.grl_strength"] == "1.0"
    assert {source.dataset.name for source in run.inputs.dataset_inputs} == {"mid", "target"}
    for key in (
        "train/loss",
        "train/classification_loss",
        "train/domain_loss",
        "train/domain_accuracy",
        "train/lambda2",
        f"val/{MID_INSTRUMENT}/accuracy",
        f"val/{MID_INSTRUMENT}/macro_recall",
        f"val/{MID_INSTRUMENT}/recall/copepod",
        f"oracle/test/{TARGET_INSTRUMENT}/macro_recall",
    ):
        assert key in run.data.metrics, key
    history = client.get_metric_history(result.run_id, f"val/{MID_INSTRUMENT}/accuracy")
    assert [metric.step for metric in history] == [2, 4]

    def files(folder: str) -> set[str]:
        found: set[str] = set()
        for item in client.list_artifacts(result.run_id, folder):
            found |= files(item.path) if item.is_dir else {item.path}
        return found

    stored = files("")
    for path in (
        "config.json",
        "preprocess.json",
        "diagnosis.json",
        "bundle/bundle.json",
        "bundle/model.safetensors",
        "bundle/model.onnx",
        f"confusion/val/{MID_INSTRUMENT}.png",
        f"confusion/oracle/test/{TARGET_INSTRUMENT}.png",
        f"examples/target/{TARGET_INSTRUMENT}.png",
    ):
        assert path in stored, (path, sorted(stored))


def test_the_bundle_describes_itself(tracked: tuple[TrainResult, str]) -> None:
    from plankton_da.networks.bundle import read_bundle_info

    info = read_bundle_info(Path(tracked[0].bundle))
    assert info.run_id == tracked[0].run_id
    assert info.temperature != 1.0
    assert info.metrics[f"val/{MID_INSTRUMENT}"]["macro_recall_ci"] is not None
    assert info.priors.keys() == set(info.classes)
    for shares in (info.priors, info.presumed_prior, info.target_prior):
        assert shares.keys() == set(info.classes)
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) > 0


def test_a_run_can_start_from_a_bundle(
    tracked: tuple[TrainResult, str], manifests: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle = Path(tracked[0].bundle)
    started = {"from_bundle": str(bundle)}
    config = small_config(manifests, tmp_path / "run", "dann", model=started)
    data = prepare(config, ((0.5,) * 3, (0.5,) * 3), tmp_path / "cache", progress=False)
    method = build_method(config, data, find_start(config))
    theirs = weights(tracked[0])
    ours = method.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name].numpy(), theirs[name]) for name in ours)


def test_a_bundle_that_does_not_fit_is_refused(
    tracked: tuple[TrainResult, str], manifests: tuple[Path, Path], tmp_path: Path
) -> None:
    started = {"from_bundle": tracked[0].bundle, "bottleneck_dim": 16}
    config = small_config(manifests, tmp_path / "run", "dann", model=started)
    with pytest.raises(ConfigError, match="bottleneck_dim is 16, the bundle's 8"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_what_the_taxonomy_leaves_out_and_who_learns_from_whom_is_said(
    manifests: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = sorted(set(read_manifest(manifests[0]).table["label"]))
    taxonomy = tmp_path / "taxonomy.csv"
    lines = [f"{label},{'' if label == 'medusa' else label}" for label in labels]
    taxonomy.write_text("\n".join(["label,class", *lines]) + "\n")
    config = small_config(manifests, tmp_path / "run", "dann", data={"taxonomy": str(taxonomy)})
    with caplog.at_level(logging.INFO):
        data = prepare(config, ((0.5,) * 3, (0.5,) * 3), tmp_path / "cache", progress=False)
    assert "medusa" not in data.classes
    assert f"{manifests[0]}: left out by the taxonomy: medusa 14" in caplog.messages
    learnt = len(data.mid_train)
    words = f"learns from {MID_INSTRUMENT} ({learnt} labelled images, 5 classes), adapts to "
    assert any(message.startswith(words) for message in caplog.messages)


@pytest.fixture
def few(manifests: tuple[Path, Path], tmp_path: Path) -> Path:
    """Two labelled target images of each class, of the target's ``train``."""
    manifest = read_manifest(manifests[1])
    rows = manifest.table[manifest.table["split"] == "train"].groupby("label").head(2)
    images = [str((manifest.root / image).resolve()) for image in rows["image"]]
    write_manifest(rows.assign(image=images), tmp_path / "few.csv")
    return tmp_path / "few.csv"


def test_few_labels_are_learnt_from_and_never_measured_on(
    manifests: tuple[Path, Path], few: Path, tmp_path: Path
) -> None:
    config = small_config(manifests, tmp_path / "run", "mcc", data={"target_labelled": str(few)})
    data = prepare(config, ((0.5,) * 3, (0.5,) * 3), tmp_path, progress=False)
    assert data.few is not None
    names = read_manifest(few).table
    assert list(data.few.table["object_id"]) == list(names["object_id"])
    assert [data.classes[label] for label in data.few.labels] == list(names["label"])
    oracle = data.oracle["train"]
    labelled = set(oracle.table["object_id"][oracle.labels >= 0])
    assert labelled
    assert not labelled & set(names["object_id"])
    without = small_config(manifests, tmp_path / "without", "mcc")
    weights = [
        load_file(Path(train(c).bundle) / "model.safetensors")["head.weight"]
        for c in (config, without)
    ]
    assert not np.array_equal(*weights)


@pytest.mark.parametrize(
    ("place", "words"),
    [("audit", "data.audit"), ("test", "val or test of data.target")],
)
def test_a_few_label_that_measures_too_is_an_error(
    manifests: tuple[Path, Path], few: Path, tmp_path: Path, place: str, words: str
) -> None:
    data = {"target_labelled": str(few)}
    if place == "audit":
        data["audit"] = str(few)
    else:
        manifest = read_manifest(manifests[1])
        images = [str((manifest.root / image).resolve()) for image in manifest.table["image"]]
        rows = manifest.table.assign(image=images)
        write_manifest(rows[rows["split"] == "test"].head(3), few, overwrite=True)
    with pytest.raises(ManifestError, match=words):
        train(small_config(manifests, tmp_path / "run", "mcc", data=data))


def test_a_few_label_that_mid_does_not_know_is_an_error(
    manifests: tuple[Path, Path], few: Path, tmp_path: Path
) -> None:
    write_manifest(read_manifest(few).table.assign(label="unicorn"), few, overwrite=True)
    with pytest.raises(ManifestError, match="no training image of unicorn"):
        train(small_config(manifests, tmp_path / "r", "mcc", data={"target_labelled": str(few)}))


@pytest.mark.parametrize("freeze", [2, "all"])
def test_frozen_stages_are_passed_once_where_that_is_less_work(
    manifests: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    freeze: int | str,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(name: str, copies: int | str, method: str = "mcc") -> dict[str, Any]:
        config = small_config(
            manifests,
            tmp_path / name,
            method,
            model={"freeze": freeze, "batch_norm": "frozen"},
            training={"frozen_copies": copies, "steps": 6},
        )
        with caplog.at_level(logging.INFO):
            result = train(config)
        return dict(load_file(Path(result.bundle) / "model.safetensors"))

    def files() -> list[Path]:
        return sorted((tmp_path / "cache").rglob("frozen-*.npy"))

    plain = run("auto", "auto")  # six steps draw fewer images than four copies of all
    assert files() == []
    cached = run("cached", 2)
    kept = files()
    assert len(kept) == 5  # augmented: mid, target; as they are: val, target, the target's test
    assert "passed once by 2 augmented copies" in caplog.text
    run("other_method", 2, "source_only")
    assert files() == kept
    moved = [name for name in plain if not np.array_equal(plain[name], cached[name])]
    frozen = set(plain) - set(moved)
    assert any(name.startswith("backbone") for name in frozen)
    assert "head.weight" in moved


def test_what_cannot_be_passed_once_is_passed_anew_and_said(
    manifests: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_config(
        manifests,
        tmp_path / "run",
        "source_only",
        model={"backbone": "test_vit", "freeze": 2},
        training={"frozen_copies": 2},
    )
    train(config)
    assert "test_vit does not come apart behind its frozen stages" in caplog.text


def test_the_yardstick_is_the_source_only_run_and_changes_nothing_else(
    manifests: tuple[Path, Path], tmp_path: Path
) -> None:
    def weights(run: Path) -> dict[str, Any]:
        return dict(load_file(run / "bundle" / "model.safetensors"))

    with_it = train(small_config(manifests, tmp_path / "with", "mcc", training={"yardstick": True}))
    train(small_config(manifests, tmp_path / "without", "mcc"))
    alone = train(small_config(manifests, tmp_path / "alone", "source_only"))
    for first, second in (("with", "without"), ("with/source_only", "alone")):
        left, right = weights(tmp_path / first), weights(tmp_path / second)
        assert all(np.array_equal(left[name], right[name]) for name in left)
    for key, value in alone.metrics.items():
        oracle = key.startswith("oracle/")
        name = (
            f"oracle/source_only/{key.removeprefix('oracle/')}" if oracle else f"source_only/{key}"
        )
        assert with_it.metrics[name] == value
    both = compare([tmp_path / "with", tmp_path / "with" / "source_only"])
    assert [row["method"] for row in both.runs] == ["mcc", "source_only"]
    again = train(
        small_config(manifests, tmp_path / "with", "mcc", training={"yardstick": True}),
        resume=True,
    )
    assert again == with_it
