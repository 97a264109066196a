"""One of many workers, without the many: the same rows, wherever the bundle is."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plankton_da.errors import UsageError
from plankton_da.networks.bundle import bundle_hash
from plankton_da.prediction import folder
from plankton_da.prediction.folder import classify
from plankton_da.prediction.inputs import Inputs
from plankton_da.prediction.pipeline import classify_items
from plankton_da.prediction.predictor import Predictor
from plankton_da.prediction.worker import Job, Share, Worker, make_job, shares_of

Draw = Callable[[Path, int], Path]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Inputs:
    """Nine pictures and an empty file."""
    lab = tmp_path_factory.mktemp("lab")
    for n in range(9):
        draw(lab / "in" / f"{n}.png", n)
    (lab / "in" / "5a.png").touch()
    return Inputs([lab / "in"], lab, instrument="CAM2")


@pytest.fixture
def job(inputs: Inputs, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("PLANKTON_DA_CORES", "")  # a worker sets it; this brings it back
    options = {"engine": "auto", "batch_size": 4}
    return make_job(tiny_bundle, bundle_hash(tiny_bundle), options, None, inputs, 60.0)


def test_a_worker_answers_what_the_local_predictor_says(
    job: Job, inputs: Inputs, tiny_bundle: Path
) -> None:
    items = list(inputs)
    worker = Worker(job, 1, "cpu")
    made = worker.open()
    with closing(worker):
        answer = worker.classify(items, sample=True)
        again = worker.classify(items[4:], sample=False)
    predictor = Predictor.open(tiny_bundle, batch_size=4)
    batches = list(classify_items(iter(items), predictor, inputs.folder))
    expected = np.concatenate([batch.probabilities for batch in batches])
    np.testing.assert_array_equal(answer.probabilities, expected)
    np.testing.assert_array_equal(again.probabilities, expected[4:])
    assert [bool(error) for error in answer.errors] == [
        item.object_id == "5a.png" for item in items
    ]
    assert answer.errors[6].startswith("empty_file: ")
    assert made["engine"] == "onnx"
    assert made["versions"]["plankton-da"]
    assert [instrument for instrument, _ in answer.samples] == ["CAM2"] * 9
    assert {pixels.shape for _, pixels in answer.samples} == {(32, 32, 1)}
    assert again.samples == []


def test_a_bundle_that_is_not_there_is_brought_along_and_removed(job: Job, inputs: Inputs) -> None:
    items = list(inputs)[:4]
    here, elsewhere = Worker(job, 1, "cpu"), Worker(replace(job, bundle=Path("/no/such")), 1, "cpu")
    here.open()
    elsewhere.open()
    assert not hasattr(here, "_unpacked"), "what is there is not copied"
    unpacked = Path(elsewhere._unpacked.name)
    with closing(here), closing(elsewhere):
        found = [worker.classify(items, sample=False) for worker in (here, elsewhere)]
    np.testing.assert_array_equal(found[0].probabilities, found[1].probabilities)
    assert not unpacked.exists()


def test_another_bundle_in_the_same_place_is_not_taken(
    job: Job, tmp_path: Path, tiny_bundle: Path
) -> None:
    other = tmp_path / "bundle"
    other.mkdir()
    for path in tiny_bundle.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    info = json.loads((other / "bundle.json").read_text())
    (other / "bundle.json").write_text(json.dumps({**info, "temperature": 9.0}))
    worker = Worker(replace(job, bundle=other), 1, "cpu")
    worker.open()
    with closing(worker):
        assert worker._predictor.info.temperature == 1.5


@pytest.mark.parametrize(
    ("resources", "device", "expected"),
    [
        ({"CPU": 2.0}, "cpu", [Share(2, 0)]),
        ({"CPU": 7.0, "GPU": 1.0}, "cpu", [Share(7, 0)]),
        ({"CPU": 64.0}, "cpu", [Share(4, 0)] * 16),
        ({"CPU": 16.0, "GPU": 2.0}, "cuda", [Share(8, 1)] * 2),
        ({"CPU": 16.0}, "cuda", []),
        ({"CPU": 1.0, "GPU": 4.0}, "cuda", [Share(1, 1)]),
        ({}, "cpu", []),
        ({"CPU": 0.5}, "cpu", []),
    ],
)
def test_workers_take_what_a_machine_has(
    resources: dict[str, float], device: str, expected: list[Share]
) -> None:
    assert shares_of(resources, device) == expected


def test_without_ray_it_is_said_how_to_get_it(
    tiny_bundle: Path, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'plankton-da\[ray\]'"):
        classify(tiny_bundle, [inputs.folders[0]], tmp_path / "P.csv", backend="ray")


def test_an_address_without_ray_is_refused(
    tiny_bundle: Path, inputs: Inputs, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="only with --backend ray"):
        classify(tiny_bundle, [inputs.folders[0]], tmp_path / "P.csv", ray_address="auto")
