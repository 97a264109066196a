"""Two machines, or what Ray takes for such, give the rows of one; also when one of them is lost."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra [ray] is not installed")

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from plankton_da.errors import BundleError
from plankton_da.prediction.folder import ClassifySummary, classify
from plankton_da.prediction.ledger import Ledger
from plankton_da.prediction.predictor import Predictor

Draw = Callable[[Path, int], Path]

pytestmark = pytest.mark.slow


class TwoNodes:
    """A Ray cluster of two nodes with a core each, to which this process is connected."""

    def __init__(self) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        self.second = self.cluster.add_node(num_cpus=1)
        ray.init(address=self.cluster.address, logging_level="ERROR", log_to_driver=False)

    def lose_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)

    def close(self) -> None:
        import ray

        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    nodes = TwoNodes()
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """800 pictures, and two that fail."""
    folder = tmp_path_factory.mktemp("lab") / "in"
    for n in range(800):
        draw(folder / f"{n:03}.png", n)
    (folder / "017a.png").touch()
    (folder / "300a.jpg").write_text("text")
    return folder


@pytest.fixture(scope="module")
def expected(images: Path, tiny_bundle: Path) -> bytes:
    """The result of one machine."""
    out = images.parent / "expected.csv"
    run(tiny_bundle, images, out)
    return out.read_bytes()


def run(bundle: Path, images: Path, out: Path, **options: Any) -> ClassifySummary:
    options = {"batch_size": 4, "part_rows": 16, "progress": False, **options}
    return classify(bundle, [images], out, **options)


def after_parts(monkeypatch: pytest.MonkeyPatch, then: Callable[[int], None]) -> None:
    """Have ``then`` called with the number of parts after each that is written."""
    append, count = Ledger.append, 0

    def counting(*arguments: Any) -> int:
        nonlocal count
        location = append(*arguments)
        count += 1
        then(count)
        return location

    monkeypatch.setattr(Ledger, "append", counting)


def stop_at_three(count: int) -> None:
    if count == 3:
        raise KeyboardInterrupt


def test_what_one_machine_began_two_finish(
    nodes: TwoNodes,
    images: Path,
    tiny_bundle: Path,
    expected: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = images.parent / "local_then_ray.csv"
    with monkeypatch.context() as patched:
        after_parts(patched, stop_at_three)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_bundle, images, out)
    assert not out.exists()
    summary = run(tiny_bundle, images, out, backend="ray")
    assert 24 <= summary.reused < 802
    assert summary.classified == 802 - summary.reused
    assert out.read_bytes() == expected


def test_what_two_machines_began_one_finishes(
    nodes: TwoNodes,
    images: Path,
    tiny_bundle: Path,
    expected: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = images.parent / "ray_then_local.csv"
    with monkeypatch.context() as patched:
        after_parts(patched, stop_at_three)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_bundle, images, out, backend="ray")
    summary = run(tiny_bundle, images, out)
    assert 24 <= summary.reused < 802
    assert out.read_bytes() == expected
    assert run(tiny_bundle, images, out, backend="ray").classified == 0


def test_an_engine_that_the_bundle_lacks_is_said_as_here(
    nodes: TwoNodes, images: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "bundle").mkdir()
    for path in tiny_bundle.iterdir():
        if path.name != "model.onnx":
            (tmp_path / "bundle" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BundleError, match=r"no model\.onnx; use --engine torch") as here:
        Predictor.open(tmp_path / "bundle", engine="onnx")
    with pytest.raises(BundleError) as there:
        run(tmp_path / "bundle", images, tmp_path / "P.csv", backend="ray", engine="onnx")
    assert str(there.value) == str(here.value)


def test_a_machine_that_is_lost_costs_no_row(
    nodes: TwoNodes,
    images: Path,
    tiny_bundle: Path,
    expected: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The last test: the cluster is left with one node."""
    both_at = lost_at = 0

    def lose(count: int) -> None:
        nonlocal both_at, lost_at
        both_at = both_at or (caplog.text.count("is ready") == 2 and count)
        if not both_at:
            time.sleep(2)  # the second needs some time to start
        elif count == both_at + 8:  # it has answered
            lost_at = count
            nodes.lose_second()

    after_parts(monkeypatch, lose)
    out = images.parent / "lost.csv"
    with caplog.at_level(logging.DEBUG, logger="plankton_da"):
        run(tiny_bundle, images, out, backend="ray")
    assert lost_at, "both machines worked"
    assert "lost a worker on" in caplog.text
    assert caplog.text.split("images by machine: ")[1].split("\n")[0].count("(") == 2
    assert out.read_bytes() == expected
