"""What a training run leaves in MLflow, and what resuming it adds."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import DatasetInput

from plankton_da.config import TrackingConfig
from plankton_da.errors import TrackingError
from plankton_da.tracking.runs import MlflowRun, metric_key, start_run


def open_run(run_id: str | None = None, **settings: str) -> MlflowRun:
    run = start_run(TrackingConfig(**settings), name="dann", run_id=run_id)
    assert isinstance(run, MlflowRun)
    return run


def client() -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{Path.cwd()}/mlflow.db")


def artifacts(run: MlflowRun, folder: str = "") -> list[str]:
    return sorted(file.path for file in client().list_artifacts(run.run_id, folder))


def datasets(run: MlflowRun) -> list[DatasetInput]:
    inputs = client().get_run(run.run_id).inputs
    assert inputs is not None
    return inputs.dataset_inputs


def test_default_is_sqlite_in_the_working_directory_with_artifacts_beside_it(lab: Path) -> None:
    run = open_run()
    run.log_bytes(b"picture", "confusion/PWSPC.png")
    info = client().get_run(run.run_id).info
    experiment = client().get_experiment_by_name("plankton_da")
    assert experiment is not None
    assert experiment.artifact_location == (lab / "mlartifacts").as_uri()
    stored = lab / "mlartifacts" / run.run_id / "artifacts" / "confusion" / "PWSPC.png"
    assert stored.read_bytes() == b"picture"
    assert info.run_name == "dann"
    assert run.tracking_uri == f"sqlite:///{lab}/mlflow.db"
    assert not (lab / "mlruns").exists()


def test_files_that_go_elsewhere_are_announced(lab: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    open_run()
    assert caplog.messages == []
    elsewhere = (lab.parent / "elsewhere").as_uri()  # as after moving the folder
    client().create_experiment("old", artifact_location=elsewhere)
    open_run(experiment="old")
    assert caplog.messages == [f"files of experiment old go to {elsewhere}"]


def test_config_comes_before_the_environment(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab / "mlflow.db").rename(lab / "mine.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///theirs.db")
    assert open_run(uri="sqlite:///mine.db").tracking_uri == f"sqlite:///{lab}/mine.db"
    assert not (lab / "theirs.db").exists()


def test_folder_names_that_look_like_uris(
    lab: Path, monkeypatch: pytest.MonkeyPatch, migrated_database: Path
) -> None:
    strange = lab / "my lab #1 (100%)"
    strange.mkdir()
    (strange / "mlflow.db").write_bytes(migrated_database.read_bytes())
    monkeypatch.chdir(strange)
    run = open_run()
    run.log_bytes(b"x", "a/b.txt")
    assert artifacts(run, "a") == ["a/b.txt"]
    assert (strange / "mlartifacts" / run.run_id).is_dir()


def test_metrics_files_and_tags_are_found_again(lab: Path) -> None:
    run = open_run()
    run.log_metrics({"val/ISIIS/accuracy": 0.5, "train/loss": 2.0}, step=200)
    run.log_metrics({"val/ISIIS/accuracy": 0.75}, step=400)
    run.log_tags({"method": "dann"})
    (lab / "config.yaml").write_text("seed: 0\n")
    run.log_file(lab / "config.yaml", "config")
    bundle = lab / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    run.log_folder(bundle, "bundle")
    run.finish()
    history = client().get_metric_history(run.run_id, "val/ISIIS/accuracy")
    assert [(metric.step, metric.value) for metric in history] == [(200, 0.5), (400, 0.75)]
    stored = client().get_run(run.run_id)
    assert stored.data.tags["method"] == "dann"
    assert stored.info.status == "FINISHED"
    assert artifacts(run, "config") == ["config/config.yaml"]
    assert artifacts(run, "bundle") == ["bundle/bundle.json"]


def test_resumed_run_is_the_same_run_and_repeats_nothing(lab: Path) -> None:
    killed = open_run()
    killed.log_params({"training.steps": 600, "data.audit": None})
    killed.log_metrics({"val/ISIIS/accuracy": 0.5, "train/loss": 2.0}, step=200)
    killed.log_metrics({"val/ISIIS/accuracy": 0.6}, step=400)  # after the last checkpoint

    resumed = open_run(run_id=killed.run_id)
    resumed.log_params({"training.steps": 600, "data.audit": None, "seed": 0})
    resumed.log_metrics({"val/ISIIS/accuracy": 0.6, "train/loss": 1.0}, step=400)
    resumed.log_metrics({"val/ISIIS/accuracy": 0.7, "train/loss": 0.5}, step=600)
    resumed.finish()

    history = client().get_metric_history(killed.run_id, "val/ISIIS/accuracy")
    assert [(m.step, m.value) for m in history] == [(200, 0.5), (400, 0.6), (600, 0.7)]
    loss = client().get_metric_history(killed.run_id, "train/loss")
    assert [(m.step, m.value) for m in loss] == [(200, 2.0), (400, 1.0), (600, 0.5)]
    stored = client().get_run(killed.run_id)
    assert stored.data.params == {"training.steps": "600", "data.audit": "null", "seed": "0"}
    assert stored.info.status == "FINISHED"
    experiment = stored.info.experiment_id
    assert len(client().search_runs([experiment])) == 1


def test_resuming_a_finished_run_opens_it_again(lab: Path) -> None:
    first = open_run()
    first.finish("FAILED")
    open_run(run_id=first.run_id)
    assert client().get_run(first.run_id).info.status == "RUNNING"


def test_changed_setting_keeps_the_param_and_becomes_a_tag(lab: Path) -> None:
    first = open_run()
    first.log_params({"training.steps": 600})
    open_run(run_id=first.run_id).log_params({"training.steps": 900})
    data = client().get_run(first.run_id).data
    assert data.params["training.steps"] == "600"
    assert data.tags["resumed_with.training.steps"] == "900"


def test_long_param_is_cut_and_stored_whole(lab: Path) -> None:
    whole = [f"data_manifests/part_{number:05d}.csv" for number in range(400)]
    run = open_run()
    run.log_params({"data.mid": whole})
    run.log_params({"data.mid": whole})
    data = client().get_run(run.run_id).data
    assert len(data.params["data.mid"]) == 6000
    assert data.params["data.mid"].endswith("params/data.mid.txt)")
    assert not [tag for tag in data.tags if tag.startswith("resumed_with")]
    text = (lab / "mlartifacts" / run.run_id / "artifacts/params/data.mid.txt").read_text()
    assert text.count("part_") == 400


@pytest.mark.parametrize("number", [101, 1001])
def test_more_names_than_one_request_may_hold(lab: Path, number: int) -> None:
    run = open_run()
    run.log_metrics({f"val/ISIIS/recall/taxon {k}": 0.0 for k in range(number)}, step=1)
    run.log_params({f"priors.taxon {k}": 0.0 for k in range(number)})
    data = client().get_run(run.run_id).data
    assert len(data.metrics) == number
    assert len(data.params) == number


def test_datasets_carry_name_source_digest_and_use(lab: Path) -> None:
    mid = pd.DataFrame({"object_id": ["1", "2"], "label": ["copepod", ""]}, dtype="str")
    run = open_run()
    run.log_dataset(mid, "data_manifests/mid.csv", "mid", "training", digest="f" * 64)
    run.log_dataset(mid, "data_manifests/target.csv", "target", "training")
    resumed = open_run(run_id=run.run_id)
    resumed.log_dataset(mid, "data_manifests/mid.csv", "mid", "training", digest="f" * 64)
    inputs = datasets(run)
    found = {entry.dataset.name: entry for entry in inputs}
    assert len(inputs) == 2
    assert found["mid"].dataset.digest == "f" * 36
    assert '"num_rows": 2' in str(found["mid"].dataset.profile)
    assert "data_manifests/mid.csv" in found["mid"].dataset.source
    assert {tag.key: tag.value for tag in found["mid"].tags} == {"mlflow.data.context": "training"}


def test_digest_sees_every_row_and_every_column_name(lab: Path) -> None:
    table = pd.DataFrame({"object_id": [str(k) for k in range(20_000)]})
    other = table.copy()
    other.loc[19_999, "object_id"] = "changed"
    run = open_run()
    tables = {"a": table, "b": other, "c": table.rename(columns={"object_id": "image"})}
    for name, content in tables.items():
        run.log_dataset(content, f"{name}.csv", name, "training")
    inputs = datasets(run)
    assert len({entry.dataset.digest for entry in inputs}) == 3


def test_backend_none_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = start_run(TrackingConfig(backend="none"), name="dann")
    run.log_params({"seed": 0})
    run.log_metrics({"train/loss": 1.0}, step=1)
    run.log_bytes(b"x", "x.txt")
    run.log_dataset(pd.DataFrame(), "x.csv", "x", "training")
    run.finish()
    assert run.run_id is None
    assert list(tmp_path.iterdir()) == []


def test_unknown_run_names_the_run_and_the_ways_out(lab: Path) -> None:
    with pytest.raises(TrackingError, match=r"knows no run abc.*output_dir"):
        open_run(run_id="abc")


def test_deleted_run_and_deleted_experiment_say_how_to_restore(lab: Path) -> None:
    run = open_run()
    client().delete_run(run.run_id)
    with pytest.raises(TrackingError, match="mlflow runs restore --run-id"):
        open_run(run_id=run.run_id)
    client().delete_experiment(client().get_run(run.run_id).info.experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore --experiment-id 1"):
        open_run()


@pytest.mark.parametrize(
    ("instrument", "metric", "key"),
    [
        ("ISIIS", "accuracy", "val/ISIIS/accuracy"),
        ("ISIIS (2014)", "macro_recall", "val/ISIIS _2014_/macro_recall"),
        ("UVP6/float@sea", "ece", "val/UVP6_float_sea/ece"),
        ("ZooScan", "recall/part<Crustacea", "val/ZooScan/recall/part_Crustacea"),
        ("..", "recall/", "val/_/recall/_"),
        ("Flöte", "recall/../x", "val/Flöte/recall/_/x"),
    ],
)
def test_metric_keys_are_in_mlflows_alphabet(
    lab: Path, instrument: str, metric: str, key: str
) -> None:
    assert metric_key("val", instrument, metric) == key
    run = open_run()
    run.log_metrics({key: 0.5}, step=1)
    assert client().get_run(run.run_id).data.metrics == {key: 0.5}


def test_oracle_metrics_say_so() -> None:
    key = metric_key("test", "PWSPC", "macro_recall", oracle=True)
    assert key == "oracle/test/PWSPC/macro_recall"


def test_overlong_keys_stay_different() -> None:
    keys = {metric_key("val", "ISIIS", "recall/" + "x" * 300 + end) for end in "ab"}
    assert len(keys) == 2
    assert all(len(key) == 250 for key in keys)


def test_two_first_runs_at_once_share_one_new_database(tmp_path: Path) -> None:
    words = (
        "from plankton_da.config import TrackingConfig\n"
        "from plankton_da.tracking.runs import start_run\n"
        "run = start_run(TrackingConfig(), name='seed')\n"
        "run.log_metrics({'train/loss': 1.0}, step=1)\n"
        "run.finish()\n"
    )
    command = [sys.executable, "-c", words]
    started = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], answers
    assert answers == [(b"", b"")] * 2  # and MLflow said nothing
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (2,)
    database.close()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_end_of_a_failed_run_hides_no_other_error(lab: Path) -> None:
    run = open_run()
    with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("alter table runs rename to lost")
        database.commit()
    run.finish("FAILED")
    run.finish("KILLED")
    with pytest.raises(TrackingError, match="no such table"):
        run.finish()
