"""Configs that cannot be used: exit code 2 (4 where a model is not to be had), the key named."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]

GOOD = """
output_dir: run
data: {mid: mid.csv, target: target.csv}
method: {name: dann}
"""
THREE_WAYS = ("offline-weights", "model.pretrained: path/to/model.safetensors", "with network")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "trainin: {steps: 3}", "trainin: unknown key; did you mean training"),
        (GOOD + "training: {step: 3}", "training.step: unknown key; did you mean steps?"),
        (
            GOOD.replace("dann}", "dann, grl_strenght: 2}"),
            "method.grl_strenght: unknown key; did you mean grl_strength?",
        ),
        (
            GOOD.replace("csv}", "csv, preprocess: {instruments: {ISIIS: {polarty: auto}}}}"),
            "data.preprocess.instruments.ISIIS.polarty: unknown key; did you mean polarity?",
        ),
        (
            GOOD.replace("dann}", "source_only, grl_strength: 2}"),
            "method.grl_strength: unknown key; known keys: name",
        ),
        (GOOD + "seed: 1\nseed: 2", 'line 6: found duplicate key "seed"; keep one'),
        (GOOD + "training: {steps: 1, steps: 2}", 'line 5: found duplicate key "steps"'),
        (GOOD + "training: {steps: many}", "training.steps: input should be a valid integer"),
        (GOOD + "training: {steps: 1.5}", "found 1.5"),
        (GOOD + "training: {steps: true}", "training: steps is neither true nor false"),
        (GOOD + "model: {freeze: true}", "model: freeze is neither true nor false"),
        (GOOD + "model: resnet18", "model: expected a section of key: value, found 'resnet18'"),
        (GOOD.replace("{name: dann}", "dann"), "method: expected a section of key: value"),
        (GOOD + "training: {steps: 0}", "training.steps: input should be greater than 0; found 0"),
        (GOOD + "optimizer: {lr: .inf}", "optimizer.lr: input should be a finite number"),
        (GOOD + "optimizer: {lr: .nan}", "optimizer.lr: input should be"),
        (GOOD + "model: {label_smoothing: 1}", "model.label_smoothing: input should be less than"),
        (GOOD.replace("mid: mid.csv", "mid: []"), "data.mid: tuple should have at least 1 item"),
        (GOOD.replace("mid: mid.csv", "mid: ''"), "data.mid.0: string should have at least 1"),
        (GOOD.replace("mid: mid.csv,", ""), "data.mid: required key is missing"),
        (GOOD.replace("output_dir: run", "output_dir: ''"), "output_dir: string should have"),
        (GOOD.replace("dann", "dan"), "found dan; did you mean dann"),
        (GOOD + "training: {select_by: oracle}", "allow_oracle_selection: true go together"),
        (GOOD + "training: {frozen_copies: 2}", "frozen_copies: 2 needs frozen stages"),
        (GOOD + "training: {select_by: audit}", "select_by: audit needs data.audit"),
        (GOOD + "training: [", "not YAML"),
        ("", "expected a mapping such as 'seed: 0'"),
        ("- seed", "expected a mapping such as 'seed: 0', found list"),
    ],
)
def test_what_a_config_may_not_say(text: str, words: str, command: Run, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(text)
    done = command("train", "my.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("plankton-da: my.yaml")
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"], "nothing is made"


def test_all_faults_of_a_config_are_listed(command: Run, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(GOOD + "seed: -1\ntraining: {steps: 0}\nmodle: {}\n")
    lines = command("train", "my.yaml").stderr.splitlines()
    assert len(lines) == 3
    assert [key for key in ("seed", "training.steps", "modle") if key not in "".join(lines)] == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.step=3", "training.step: unknown key; did you mean steps?"),
        ("training.steps", "--set training.steps: expected dotted.key=value"),
        ("training.steps=[1", "--set training.steps=[1, line 1: not YAML"),
        ("training.steps=-1", "training.steps: input should be greater than 0; found -1"),
    ],
)
def test_what_set_may_not_say(setting: str, words: str, command: Run, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(GOOD)
    done = command("train", "my.yaml", "--set", setting)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), (b"\xff", "UTF-8")])
def test_files_that_are_no_config(
    content: bytes | None, words: str, command: Run, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "my.yaml").write_bytes(content)
    done = command("train", "my.yaml")
    assert done.returncode == 2
    assert f"my.yaml: {'' if content is None else 'cannot be read as '}{words}" in done.stderr


def test_a_misspelt_backbone_shows_the_nearest_names(train: Run, tmp_path: Path) -> None:
    done = train(model__backbone="resnt18")
    assert done.returncode == 4
    assert "model.backbone: timm has no model named resnt18; did you mean resnet18" in done.stderr
    assert not (tmp_path / "run").exists()


def test_more_stages_to_freeze_than_there_are(train: Run, tmp_path: Path) -> None:
    done = train(model__freeze=99)
    assert done.returncode == 4
    assert "model.freeze: 99, but test_resnet has" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.pth", None, "does not exist"),
        ("text.pth", b"text", "is no weights file for test_resnet, or is damaged"),
        ("empty.pth", b"", "is no weights file for test_resnet, or is damaged"),
        ("zip.pth", b"PK\x03\x04rest", "PytorchStreamReader failed"),
        ("cut.safetensors", b"\x08\0\0\0\0\0\0\0{", "is no weights file for test_resnet"),
    ],
)
def test_a_weights_file_that_is_none(
    name: str, content: bytes | None, words: str, train: Run, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = train(model__pretrained=name)
    assert done.returncode == 4
    assert name in done.stderr
    assert words in done.stderr
    assert "weights_only=False" not in done.stderr, "nobody is advised to run a file's code"
    assert not (tmp_path / "run").exists()


@pytest.fixture
def empty_hub_cache(tmp_path: Path) -> dict[str, str]:
    return {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}


def test_offline_the_three_ways_are_said(
    process: Run, train_words: Callable[..., list[str]], empty_hub_cache: dict[str, str]
) -> None:
    words = train_words(model__backbone="resnet18", model__pretrained="auto")
    done = process(*words, **empty_hub_cache | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 4
    assert "HF_HUB_OFFLINE is set" in done.stderr
    assert [way for way in THREE_WAYS if way not in done.stderr] == []


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "HTTPS_PROXY"])
def test_a_hub_that_never_answers_is_given_up_within_seconds(
    name: str,
    silent_port: int,
    process: Run,
    train_words: Callable[..., list[str]],
    empty_hub_cache: dict[str, str],
    tmp_path: Path,
) -> None:
    words = train_words(model__backbone="resnet18", model__pretrained="auto")
    started = time.monotonic()
    done = process(*words, **empty_hub_cache | {name: f"http://127.0.0.1:{silent_port}"})
    assert done.returncode == 4
    assert "cannot be reached for timm/resnet18.a1_in1k: no answer in time" in done.stderr
    assert [way for way in THREE_WAYS if way not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 60, "5 s of waiting, the rest is start-up"
    assert not (tmp_path / "run").exists()


class _Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_mirror_of_the_hub_is_asked_instead_of_the_hub(
    process: Run, train_words: Callable[..., list[str]], empty_hub_cache: dict[str, str]
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = train_words(model__backbone="resnet18", model__pretrained="auto")
        mirror = f"http://127.0.0.1:{server.server_port}"
        done = process(*words, **empty_hub_cache | {"HF_ENDPOINT": mirror})
        server.shutdown()
        assert len(server.asked) > 1, "by us, and by the hub's client"  # type: ignore[attr-defined]
    assert done.returncode == 4
    assert "cannot be reached" not in done.stderr
    assert "404" in done.stderr
    assert [way for way in THREE_WAYS if way not in done.stderr] == []
