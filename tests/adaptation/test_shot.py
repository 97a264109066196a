"""Adaptation without mid: the loss written out, pseudo labels, and whole runs from a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from plankton_da.adaptation.checkpoints import read_checkpoint
from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.methods.shot import NO_LABEL, Shot, centroid_labels
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.run_folder import TrainResult
from plankton_da.adaptation.selection import choose
from plankton_da.adaptation.summary import summary
from plankton_da.adaptation.training import train
from plankton_da.config import Config, TrainingConfig
from plankton_da.config_methods import ShotConfig
from plankton_da.config_reading import parse_config
from plankton_da.demo.archive import write_archive
from plankton_da.demo.cameras import MID_INSTRUMENT, TARGET_INSTRUMENT
from plankton_da.errors import ConfigError, ManifestError
from plankton_da.manifests.ingest import IngestOptions, build_manifest
from plankton_da.manifests.table import read_manifest, write_manifest
from plankton_da.networks.bundle import read_bundle_info
from plankton_da.prediction.predictor import Predictor

MethodOf = Callable[..., Method]
BatchOf = Callable[[int], UdaBatch]
PROGRESS = torch.tensor(0.5)


def by_hand(logits: torch.Tensor, labels: list[int], a: float, b: float, c: float) -> torch.Tensor:
    """Equations 2, 3 and 7 image by image; a label of -1 is none."""
    p = [row.exp() / row.exp().sum() for row in logits]
    entropy = sum(-(row * row.log()).sum() for row in p) / len(p)
    mean = sum(p) / len(p)
    pseudo = [-row[k].log() for row, k in zip(p, labels, strict=True) if k >= 0]
    loss = a * entropy + b * (mean * mean.log()).sum()
    return loss + c * sum(pseudo) / len(pseudo) if pseudo else loss


@pytest.mark.parametrize(
    "labels", [[0, 4, 2, 2, 1, 3, 0, 0], [1, -1, -1, 3, -1, 0, 0, -1], [-1] * 8]
)
def test_loss_and_gradients_equal_the_equations(
    method_of: MethodOf, batch_of: BatchOf, labels: list[int]
) -> None:
    settings = {"entropy_weight": 0.7, "diversity_weight": 0.4, "pseudo_label_weight": 0.6}
    method = method_of("shot", model={"batch_norm": "frozen", "bottleneck_dim": 6}, **settings)
    method = method.double()
    method.allocate(20)
    rows = torch.tensor([3, 5, 7, 11, 13, 17, 19, 2])
    method.pseudo_labels[rows] = torch.tensor(labels)
    batch = batch_of(0)._replace(target_rows=rows)
    loss = method(batch, PROGRESS).loss
    loss.backward()
    found = {key: p.grad.clone() for key, p in method.named_parameters() if p.grad is not None}
    assert not [key for key in found if key.startswith("network.head")], "the head is frozen"

    method.zero_grad()
    expected = by_hand(method.network(batch.target_images), labels, 0.7, 0.4, 0.6)
    torch.testing.assert_close(loss, expected)
    expected.backward()
    for key, gradient in found.items():
        expected_gradient = method.get_parameter(key).grad
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-7, rtol=1e-5, msg=key)


def test_pseudo_labels_are_those_of_the_nearest_centroid_in_two_rounds() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 3, generator=generator)
    probabilities = torch.softmax(2 * torch.randn(40, 4, generator=generator), 1)
    probabilities[:, 3] = 0.001
    probabilities /= probabilities.sum(1, keepdim=True)
    unit = features / features.norm(dim=1, keepdim=True)

    def nearest(centroids: dict[int, torch.Tensor]) -> list[int]:
        cosine = {k: unit @ (c / c.norm()) for k, c in centroids.items()}
        return [max(centroids, key=lambda k, n=n: float(cosine[k][n])) for n in range(40)]

    first = {
        k: (probabilities[:, k, None] * unit).sum(0) / probabilities[:, k].sum() for k in range(4)
    }
    labels = nearest(first)
    second = {
        k: torch.stack([u for u, label in zip(unit, labels, strict=True) if label == k]).mean(0)
        for k in sorted(set(labels))
    }
    assert centroid_labels(features, probabilities).tolist() == nearest(second)


def test_a_class_without_any_image_attracts_none() -> None:
    features = torch.eye(3).repeat(4, 1) + 0.01
    probabilities = torch.eye(4)[torch.arange(12) % 3]  # nothing is of class 3
    assert centroid_labels(features, probabilities).tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize("mode", ["frozen", "per_domain"])
def test_refreshing_labels_the_rows_that_come_and_forgets_the_others(
    mode: str, method_of: MethodOf, batch_of: BatchOf
) -> None:
    method = method_of("shot", model={"batch_norm": mode, "bottleneck_dim": 6})
    method.allocate(30)
    method.pseudo_labels.fill_(2)
    images = [batch_of(k).target_images for k in range(2)]
    rows = torch.arange(16) + 5
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.refresh(rows, lambda: iter(images))
    assert method.network.training
    assert (method.pseudo_labels[:5] == NO_LABEL).all()
    assert (method.pseudo_labels[21:] == NO_LABEL).all()
    method.network.eval().use_domain("target")
    with torch.no_grad():
        found = method.network.features(torch.cat(images))
        p = torch.softmax(method.network.classify(found), 1)
    assert torch.equal(method.pseudo_labels[rows], centroid_labels(found, p))
    changed = {
        key
        for key, value in method.state_dict().items()
        if not (torch.equal(value, before[key]) or key.endswith("num_batches_tracked"))
    }
    statistics = {key for key in changed if key.startswith("network.statistics.target")}
    assert bool(statistics) == (mode == "per_domain"), "the new camera's, before it is looked at"
    assert changed - statistics == {"pseudo_labels"}


def test_it_follows_moved_clusters_whose_boundary_mid_s_classifier_cuts() -> None:
    """Three classes in the plane; on the target all are turned, so that the start errs on many."""
    torch.manual_seed(0)
    labels = torch.arange(300) % 3
    angle = labels * 2 * torch.pi / 3

    def cluster(turn: float) -> torch.Tensor:
        center = torch.stack([torch.cos(angle + turn), torch.sin(angle + turn)], 1)
        return center + 0.12 * torch.randn(300, 2)

    class Plane(nn.Module):
        statistics = None

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2, bias=False)
            self.linear.weight.data = torch.eye(2)
            self.head = nn.Linear(2, 3, bias=False)
            self.head.weight.data = 4 * cluster(0.0)[:3]

        def use_domain(self, domain: str) -> None:
            pass

        def features(self, points: torch.Tensor) -> torch.Tensor:
            return self.linear(points)

        def classify(self, features: torch.Tensor) -> torch.Tensor:
            return self.head(features)

        def accuracy(self, points: torch.Tensor) -> float:
            predicted = self.head(self.linear(points)).argmax(1)
            return float((predicted == labels).float().mean())

    plane, target = Plane(), cluster(0.95)
    assert plane.accuracy(cluster(0.0)) > 0.98
    assert plane.accuracy(target) < 0.85
    method = Shot(plane, ShotConfig(refresh_every=20), 0.1)  # type: ignore[arg-type]
    method.allocate(300)
    optimizer = torch.optim.SGD([p for p in plane.parameters() if p.requires_grad], lr=0.05)
    empty = torch.empty(0)
    for step in range(300):
        if step % 20 == 0:
            method.refresh(torch.arange(300), lambda: iter([target]))
        rows = torch.randperm(300)[:64]
        batch = UdaBatch(empty, empty, target[rows], target_rows=rows)
        optimizer.zero_grad()
        method(batch, PROGRESS).loss.backward()
        optimizer.step()
    assert plane.accuracy(target) > 0.97


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mid.csv``, ``target.csv`` without labels, ``labelled.csv``, and a run ``start``."""
    folder = tmp_path_factory.mktemp("lab")
    archive = write_archive(
        folder / "archive", seed=0, mid_per_class=10, target_images=40, target_test_images=30
    )
    build_manifest("folders", [archive.mid], MID_INSTRUMENT, folder / "mid.csv")
    plain = IngestOptions(labelled=False)
    target = folder / "target.csv"
    build_manifest("folders", [archive.target_pool], TARGET_INSTRUMENT, target, options=plain)
    build_manifest("folders", [archive.target_test], TARGET_INSTRUMENT, folder / "labelled.csv")
    raw = {
        **settings(folder, "start"),
        "data": {**DATA, "mid": str(folder / "mid.csv"), "target": str(folder / "target.csv")},
        "method": {"name": "source_only"},
    }
    train(parse_config(raw))
    return folder


DATA: dict[str, Any] = {
    "image_size": 32,
    "batch_size_per_instrument": 8,
    "workers": 0,
    "cache": "none",
}


def settings(folder: Path, name: str) -> dict[str, Any]:
    return {
        "output_dir": str(folder / name),
        "model": {"backbone": "test_resnet", "pretrained": "none", "bottleneck_dim": 8},
        "training": {"steps": 6, "evaluate_every": 2, "device": "cpu"},
        "tracking": {"backend": "none"},
    }


def shot_config(lab: Path, out: Path, target: str = "target.csv", **changes: Any) -> Config:
    raw = settings(out.parent, out.name)
    raw["model"] |= {"from_bundle": str(lab / "start" / "bundle")}
    raw["data"] = {**DATA, "target": str(lab / target)}
    raw["method"] = {"name": "shot", "refresh_every": 2}
    for section, values in changes.items():
        raw[section] = {**raw.get(section, {}), **values}
    return parse_config(raw)


@pytest.fixture(scope="module")
def adapted(lab: Path) -> TrainResult:
    return train(shot_config(lab, lab / "adapted"))


def test_a_bundle_is_adapted_without_any_image_of_mid(lab: Path, adapted: TrainResult) -> None:
    before = load_file(lab / "start" / "bundle" / "model.safetensors")
    after = load_file(Path(adapted.bundle) / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert not {name for name in changed if name.startswith("head.")}
    assert {name for name in changed if name.startswith("backbone.")}


def test_the_bundle_keeps_what_mid_taught(lab: Path, adapted: TrainResult) -> None:
    start = read_bundle_info(lab / "start" / "bundle")
    info = read_bundle_info(Path(adapted.bundle))
    assert info.method == "shot"
    for name in (
        *("classes", "temperature", "thresholds", "mid_instruments", "priors", "presumed_prior"),
        *("backbone", "batch_norm", "bottleneck_dim"),
    ):
        assert getattr(info, name) == getattr(start, name), name
    assert info.target_instruments == (TARGET_INSTRUMENT,)
    assert info.preprocess == start.preprocess
    assert start.manifests.items() <= info.manifests.items()
    assert sum(info.target_prior.values()) == pytest.approx(1)
    predictor = Predictor.open(Path(adapted.bundle), engine="onnx")
    pixels = np.zeros((1, 32, 32, 1), np.uint8)
    assert predictor.probabilities(pixels, TARGET_INSTRUMENT).sum() == pytest.approx(1)


def test_a_third_camera_gets_its_own_polarity_and_the_second_is_forgotten(
    lab: Path, adapted: TrainResult, tmp_path: Path
) -> None:
    table = read_manifest(lab / "target.csv").table
    images = [str(lab / image) for image in table["image"]]
    third = table.assign(image=images, instrument="THIRD")
    write_manifest(third, tmp_path / "third.csv")
    looks = {"instruments": {"THIRD": {"polarity": "dark_on_light", "crop": {"top": 2}}}}
    config = shot_config(
        lab,
        tmp_path / "run",
        model={"from_bundle": adapted.bundle},
        data={"target": str(tmp_path / "third.csv"), "preprocess": looks},
    )
    info = read_bundle_info(Path(train(config).bundle))
    before = read_bundle_info(Path(adapted.bundle)).preprocess.instruments
    assert info.target_instruments == ("THIRD",)
    assert info.preprocess.instruments.keys() == {MID_INSTRUMENT, "THIRD"}
    assert info.preprocess.instruments[MID_INSTRUMENT] == before[MID_INSTRUMENT]
    assert before[TARGET_INSTRUMENT].invert
    assert not info.preprocess.instruments["THIRD"].invert
    assert info.preprocess.instruments["THIRD"].crop == (2, 0, 0, 0)


def test_nothing_is_measured_without_labels_and_that_is_said(adapted: TrainResult) -> None:
    assert {key.split("/")[0] for key in adapted.metrics} == {"selection"}
    assert adapted.selected_by.endswith("there are no images of mid")
    assert "no labelled images: nothing was measured" in summary(adapted)


def test_labels_of_the_target_are_reported_and_change_nothing(lab: Path, tmp_path: Path) -> None:
    labelled = read_manifest(lab / "labelled.csv")
    images = [str(lab / image) for image in labelled.table["image"]]
    table = labelled.table.assign(image=images)
    write_manifest(table, tmp_path / "with.csv")
    write_manifest(table.assign(label=""), tmp_path / "without.csv")
    runs = [
        train(shot_config(lab, tmp_path / name, target=str(tmp_path / f"{name}.csv")))
        for name in ("with", "without")
    ]
    ours, theirs = (load_file(Path(run.bundle) / "model.safetensors") for run in runs)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert f"oracle/train/{TARGET_INSTRUMENT}/macro_recall" in runs[0].metrics
    assert runs[0].selected_step == runs[1].selected_step


def test_an_audit_decides_where_there_is_one(lab: Path, tmp_path: Path) -> None:
    config = shot_config(lab, tmp_path / "run", data={"audit": str(lab / "labelled.csv")})
    result = train(config)
    assert result.selected_by == "audit macro recall"
    assert f"audit/{TARGET_INSTRUMENT}/macro_recall" in result.metrics


@pytest.mark.parametrize("step", [3, 4])
def test_a_resumed_run_is_bit_for_bit_the_undisturbed_one(
    lab: Path, adapted: TrainResult, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between two refreshes of the pseudo labels, and just before one."""
    from plankton_da.adaptation import training

    compute, done = training.compute_gradients, []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        done.append(None)
        if len(done) == step:
            import signal

            signal.raise_signal(signal.SIGINT)
        return compute(*args, **kwargs)

    monkeypatch.setattr(training, "compute_gradients", interrupted)
    config = shot_config(lab, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.setattr(training, "compute_gradients", compute)
    saved = read_checkpoint(tmp_path / "run" / "checkpoints" / f"step_{step:07d}.pt")
    assert (saved.method["pseudo_labels"] != NO_LABEL).any()
    result = train(config, resume=True)
    ours = load_file(Path(result.bundle) / "model.safetensors")
    theirs = load_file(Path(adapted.bundle) / "model.safetensors")
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert result.metrics == adapted.metrics


def test_a_run_is_not_resumed_from_another_bundle(lab: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(lab / "start" / "bundle", bundle)
    config = shot_config(lab, tmp_path / "run", model={"from_bundle": str(bundle)})
    train(config)
    (tmp_path / "run" / "result.json").unlink()
    document = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(document | {"seed": 99}))
    with pytest.raises(ConfigError, match=r"not the bundle that the run .* began with"):
        train(config, resume=True)


def test_a_registered_bundle_is_found_by_its_alias(
    lab: Path, adapted: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    from plankton_da.tracking.registry import register

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing mlflow's pyfunc warns of type hints
        register(lab / "start" / "bundle", "plankton", "champion", uri)
    changes = {"model": {"from_bundle": "models:/plankton@champion"}, "tracking": {"uri": uri}}
    result = train(shot_config(lab, tmp_path / "run", **changes))
    ours = load_file(Path(result.bundle) / "model.safetensors")
    theirs = load_file(Path(adapted.bundle) / "model.safetensors")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_mid_s_own_camera_is_no_target(lab: Path, tmp_path: Path) -> None:
    config = shot_config(lab, tmp_path / "run", target="mid.csv")
    with pytest.raises(ManifestError, match=f"learnt from {MID_INSTRUMENT}; the target must be"):
        train(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"mid": "mid.csv"}}, "data.mid: shot learns from the target alone"),
        ({"model": {"from_bundle": None}}, "model.from_bundle: required key is missing: shot"),
        ({"training": {"select_by": "mid_val"}}, "mid_val needs images of mid"),
        ({"method": {"name": "dann", "refresh_every": 2}}, "unknown key"),
    ],
)
def test_configs_that_contradict_themselves(
    lab: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        shot_config(lab, tmp_path / "run", **changes)


def test_where_nothing_would_learn_it_says_so(lab: Path, tmp_path: Path) -> None:
    raw = settings(tmp_path, "start")
    raw["model"] |= {"bottleneck_dim": 0, "freeze": "all"}
    data = {**DATA, "mid": str(lab / "mid.csv"), "target": str(lab / "target.csv")}
    start = train(parse_config({**raw, "data": data, "method": {"name": "source_only"}}))
    model = {"bottleneck_dim": 0, "freeze": "all", "from_bundle": start.bundle}
    with pytest.raises(ConfigError, match=r"nothing would learn: model\.freeze is all"):
        train(shot_config(lab, tmp_path / "run", model=model))
    model["freeze"] = "none"
    assert train(shot_config(lab, tmp_path / "other", model=model)).bundle


def entry(step: int, effective: float, infomax: float) -> dict[str, Any]:
    return {
        "step": step,
        "mid_macro_recall": None,
        "audit_macro_recall": None,
        "oracle_macro_recall": None,
        "effective_classes": effective,
        "mid_effective_classes": 8.0,
        "infomax": infomax,
    }


def test_without_mid_the_last_step_that_has_not_collapsed_is_chosen() -> None:
    history = [entry(10, 7.0, 1.5), entry(20, 6.0, 1.2), entry(30, 2.0, 0.3)]
    assert choose(history, TrainingConfig(), adapts=True).step == 20
    assert choose(history, TrainingConfig(select_by="infomax"), adapts=True).step == 10
    assert choose(history, TrainingConfig(select_by="last"), adapts=True).step == 30
    assert choose(history[2:], TrainingConfig(), adapts=True).step == 30


def test_init_writes_a_config_that_fits_the_bundle(lab: Path, tmp_path: Path) -> None:
    from plankton_da.adaptation.start import bundle_settings
    from plankton_da.config_reading import load_config
    from plankton_da.config_text import config_text, write_config

    changes = bundle_settings(str(lab / "start" / "bundle"))
    text = config_text("shot", target=(str(lab / "target.csv"),), changes=changes)
    write_config(text, tmp_path / "shot.yaml")
    sets = ["training.steps=1", f"output_dir={tmp_path / 'run'}", "tracking.backend=none"]
    config = load_config(tmp_path / "shot.yaml", [*sets, "data.workers=0", "data.cache=none"])
    assert config.data.mid is None
    assert Path(train(config).bundle).is_dir()
