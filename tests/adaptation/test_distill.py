"""Distillation: the loss recomputed, the teachers' mean prediction, and who may be a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from plankton_da.adaptation.methods import Method
from plankton_da.adaptation.methods.distill import open_teacher, soft_cross_entropy
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.preparation import prepare
from plankton_da.adaptation.training import train
from plankton_da.config_methods import DistillConfig
from plankton_da.config_reading import parse_config
from plankton_da.errors import ConfigError
from plankton_da.networks.bundle import read_bundle_info
from plankton_da.prediction.predictor import Predictor
from tests.adaptation.test_training import small_config

ROWS = torch.tensor([3, 1, 4, 1, 5, 0, 2, 6])


def test_loss_and_gradients_are_those_of_plain_torch(
    method_of: Callable[..., Method], batch_of: Callable[[int], UdaBatch]
) -> None:
    settings = {"model": {"batch_norm": "frozen"}, "distillation_weight": 0.7}
    batch = batch_of(0)._replace(target_rows=ROWS)
    soft = torch.softmax(torch.randn(7, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    method, plain = method_of("distill", **settings), method_of("distill", **settings)
    method.allocate(7)
    method.soft_labels.copy_(soft)  # type: ignore[union-attr]
    output = method(batch, torch.tensor(0.4))
    output.loss.backward()
    logits = plain.network(torch.cat([batch.mid_images, batch.target_images]))
    mid, target = logits[:8], logits[8:]
    expected = F.cross_entropy(mid, batch.mid_labels, label_smoothing=0.1)
    expected = expected + 0.7 * F.cross_entropy(target, soft[ROWS])
    expected.backward()
    torch.testing.assert_close(output.loss, expected)
    for (name, ours), (_, theirs) in zip(
        method.named_parameters(), plain.named_parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_the_student_that_predicts_as_its_teachers_has_the_least_loss() -> None:
    soft = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    least = soft_cross_entropy(soft.log(), soft)
    assert least == pytest.approx(float(-(soft * soft.log()).sum(1).mean()))
    for seed in range(5):
        noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(seed))
        assert soft_cross_entropy(soft.log() + noise, soft) > least


@pytest.fixture(scope="module")
def teachers(
    manifests: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[str]:
    """Bundles of two runs."""
    folder = tmp_path_factory.mktemp("teachers")
    return [
        train(small_config(manifests, folder / name, name)).bundle
        for name in ("source_only", "mcc")
    ]


def test_a_run_learns_from_the_mean_of_its_teachers_turned_views(
    manifests: tuple[Path, Path],
    teachers: list[str],
    tmp_path: Path,
) -> None:
    plain = small_config(manifests, tmp_path / "run", "source_only")
    config = plain.model_copy(update={"method": DistillConfig(teachers=tuple(teachers))})
    info = read_bundle_info(Path(train(config).bundle))
    assert info.method == "distill"
    # what the method was told of the target, as the checkpoint holds it
    checkpoint = torch.load(max((tmp_path / "run" / "checkpoints").glob("*.pt")), weights_only=True)
    soft = checkpoint["method"]["soft_labels"].numpy()
    asked = np.flatnonzero(~np.isnan(soft).any(1))
    assert len(asked) > 8
    np.testing.assert_allclose(soft[asked].sum(1), 1, atol=1e-5)
    data = prepare(config, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), tmp_path, progress=False)
    pixels = data.target_train.pixels.read_many(asked)
    expected = [
        teacher.probabilities(pixels, teacher.default_instrument)
        for teacher in (Predictor.open(Path(name), views=8) for name in teachers)
    ]
    np.testing.assert_allclose(soft[asked], np.mean(expected, axis=0), atol=1e-4)


def test_a_teacher_of_other_classes_or_pixels_is_refused(teachers: list[str]) -> None:
    info = read_bundle_info(Path(teachers[0]))
    open_teacher(teachers[0], None, info.classes, info.preprocess_hash)
    with pytest.raises(ConfigError, match="other classes than this run"):
        open_teacher(teachers[0], None, ("a", "b"), info.preprocess_hash)
    with pytest.raises(ConfigError, match="other preprocessing than this run"):
        open_teacher(teachers[0], None, info.classes, "0" * 64)


def test_without_teachers_there_is_nothing_to_learn() -> None:
    with pytest.raises(ConfigError, match="teachers is empty"):
        parse_config({"data": {"mid": "a.csv", "target": "b.csv"}, "method": {"name": "distill"}})
