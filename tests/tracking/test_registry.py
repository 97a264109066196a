"""Bundles in the registry: what is stored, under which names, and how they come back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from plankton_da.errors import BundleError, RegistryError, TrackingError
from plankton_da.networks.bundle import bundle_hash
from plankton_da.tracking import cache
from plankton_da.tracking.cache import safe_name
from plankton_da.tracking.registry import promote, register, resolve_bundle
from plankton_da.tracking.server import as_default

PICKLE_START = b"\x80"  # opcode PROTO, which begins every pickle since Python 2.3


def client() -> MlflowClient:
    uri = f"sqlite:///{Path.cwd()}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def stored_model(folder: Path) -> Path:
    (model,) = (folder / "mlartifacts" / "models").glob("m-*/artifacts")
    return model


def test_nothing_in_the_stored_model_is_pickled(registered: Path) -> None:
    files = [path for path in (registered / "mlartifacts").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if path.suffix in {".pkl", ".pickle", ".pt", ".pyc"}] == []
    assert [path for path in files if path.read_bytes()[:1] == PICKLE_START] == []


def test_stored_model_has_code_bundle_signature_example_and_pins(
    registered: Path, bundle_folder: Path
) -> None:
    model = stored_model(registered)
    assert cache.files_hash(model / "artifacts" / "bundle") == cache.files_hash(bundle_folder)
    assert (model / "code" / "plankton_da" / "prediction" / "predictor.py").is_file()
    described = YAML(typ="safe").load(model / "MLmodel")
    columns = [column["name"] for column in json.loads(described["signature"]["outputs"])]
    words = "object_id image instrument label score raw_label raw_score error"
    assert columns == words.split()
    (parameter,) = json.loads(described["signature"]["params"])
    assert (parameter["name"], parameter["default"]) == ("instrument", "CAM2")
    assert (model / "input_example.json").is_file()
    pins = (model / "requirements.txt").read_text().split()
    assert f"mlflow=={mlflow.__version__}" in pins
    assert all("==" in pin and "+" not in pin for pin in pins)


def test_version_carries_its_provenance(registry: Path, bundle_folder: Path) -> None:
    tags = client().get_model_version("plankton", "1").tags
    assert tags["plankton_da.bundle_sha256"] == bundle_hash(bundle_folder)
    assert tags["plankton_da.method"] == "dann"
    assert tags["plankton_da.git_commit"] == "c0ffee"
    assert json.loads(tags["plankton_da.classes"]) == ["copepod", "medusa", "NA"]
    assert json.loads(tags["plankton_da.target_instruments"]) == ["CAM2"]
    assert json.loads(tags["plankton_da.mid_instruments"]) == ["CAM1"]


def test_model_belongs_to_the_run_that_trained_it(
    lab: Path, bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    experiment = client().create_experiment("mine", artifact_location=(lab / "mine").as_uri())
    run = client().create_run(experiment)
    client().set_terminated(run.info.run_id, "FINISHED", end_time=1_000)
    trained = tmp_path / "trained"
    shutil.copytree(bundle_folder, trained)
    info = json.loads((trained / "bundle.json").read_text())
    (trained / "bundle.json").write_text(json.dumps(info | {"run_id": run.info.run_id}))
    capfd.readouterr()

    made = register(trained, "plankton")

    assert capfd.readouterr() == ("", "")
    assert mlflow.active_run() is None
    assert (made.name, made.version, made.aliases) == ("plankton", 1, ())
    assert made.run_id == run.info.run_id
    assert client().get_model_version("plankton", "1").run_id == run.info.run_id
    after = client().get_run(run.info.run_id)
    assert (after.info.status, after.info.end_time) == ("FINISHED", 1_000)
    assert after.outputs is not None
    assert len(after.outputs.model_outputs) == 1
    assert list((lab / "mine" / "models").glob("m-*/artifacts/MLmodel"))


@pytest.mark.parametrize("explicit", [None, "sqlite:///theirs.db"])
@pytest.mark.parametrize("environment", [None, "http://theirs:5000"])
def test_the_users_own_mlflow_settings_are_as_before(
    lab: Path, monkeypatch: pytest.MonkeyPatch, explicit: str | None, environment: str | None
) -> None:
    if environment is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    mlflow_settings = (mlflow.get_registry_uri, mlflow.get_tracking_uri)
    with as_default("sqlite:///outer.db") if explicit else contextlib.nullcontext():
        before = [setting() for setting in mlflow_settings], dict(os.environ)
        with as_default("sqlite:///mine.db"):
            assert {setting() for setting in mlflow_settings} == {"sqlite:///mine.db"}
        assert before == ([setting() for setting in mlflow_settings], dict(os.environ))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert mlflow.get_tracking_uri() == f"sqlite:///{lab}/mlflow.db"


def test_model_of_a_run_of_another_server_gets_a_run_of_its_own(registry: Path) -> None:
    version = client().get_model_version("plankton", "1")
    assert client().get_run(str(version.run_id)).info.run_name == "register plankton"


def test_bundle_that_cannot_predict_is_not_registered(
    lab: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle_folder, damaged)
    (damaged / "model.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(RegistryError, match=r"damaged: the model cannot be served: .*model\.onnx"):
        register(damaged, "plankton", "champion")
    assert list(client().search_registered_models()) == []


@pytest.mark.parametrize("size", [0, 7, 1000, None])
def test_damaged_weights_are_not_registered(
    lab: Path, bundle_folder: Path, tmp_path: Path, size: int | None
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle_folder, damaged)
    weights = damaged / "model.safetensors"
    weights.unlink() if size is None else os.truncate(weights, size)
    with pytest.raises(BundleError, match=r"model\.safetensors: missing or damaged"):
        register(damaged, "plankton", "champion")


@pytest.mark.parametrize("content", [None, "{}", "no json", "[]"])
def test_folder_that_is_no_bundle(lab: Path, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=r"bundle.json"):
        register(tmp_path, "plankton")


def test_promote_moves_the_alias_and_says_from_where(registry: Path) -> None:
    client().create_model_version("plankton", str(registry))
    first = promote("plankton", 1, "champion")
    assert (first.aliases, first.replaced) == (("candidate", "champion"), None)
    second = promote("plankton", "2", "champion")
    assert (second.version, second.aliases, second.replaced) == (2, ("champion",), 1)
    assert second.uri == "models:/plankton/2"
    assert str(client().get_model_version_by_alias("plankton", "champion").version) == "2"


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("planktn", "1", r"no model planktn; did you mean plankton\?; it has plankton;"),
        ("plankton", "7", r"model plankton has no version 7; it has 1$"),
        ("plankton", "v1", r"model plankton has no version v1; it has 1$"),
        ("a'b", "1", "quotes"),
    ],
)
def test_promote_lists_what_there_is(registry: Path, name: str, version: str, words: str) -> None:
    with pytest.raises(RegistryError, match=words):
        promote(name, version, "champion")


@pytest.mark.parametrize("alias", ["latest", "v1", "V12", "3", "", "a b", "a@b", "ä", "a" * 256])
def test_alias_that_mlflow_would_mistake(registry: Path, alias: str) -> None:
    with pytest.raises(RegistryError, match="use candidate or champion"):
        promote("plankton", 1, alias)


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a@b", "..", ".a", "a\n", "a\\b", "a%2Fb"])
def test_name_that_no_uri_can_hold(lab: Path, bundle_folder: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="such as plankton"):
        register(bundle_folder, name)


@pytest.mark.parametrize("text", ["models:/plankton@candidate", "models:/plankton/1"])
def test_registered_bundle_comes_back_whole(registry: Path, bundle_folder: Path, text: str) -> None:
    folder = resolve_bundle(text)
    assert cache.files_hash(folder) == cache.files_hash(bundle_folder)
    assert folder.is_relative_to(registry.parent / "cache" / "plankton_da" / "bundles")


def test_a_version_is_downloaded_once(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve_bundle("models:/plankton@candidate")

    def download(*_: object) -> Path:
        raise AssertionError("downloaded again")

    monkeypatch.setattr(cache, "_download", download)
    assert resolve_bundle("models:/plankton/1") == first


def test_damaged_cache_is_downloaded_again(registry: Path, bundle_folder: Path) -> None:
    folder = resolve_bundle("models:/plankton/1")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert cache.files_hash(resolve_bundle("models:/plankton/1")) == cache.files_hash(bundle_folder)
    weights.unlink()
    assert cache.files_hash(resolve_bundle("models:/plankton/1")) == cache.files_hash(bundle_folder)


@pytest.fixture
def own_storage(registry: Path, registered: Path) -> Path:
    """The stored model, in a copy that a test may change."""
    shutil.copytree(registered / "mlartifacts", registry / "mlartifacts")
    database = registry / "mlflow.db"
    with sqlite3.connect(database) as connection:
        for table, column in (
            ("experiments", "artifact_location"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
        ):
            connection.execute(
                f"update {table} set {column} = replace({column}, ?, ?)",
                (str(registered), str(registry)),
            )
    connection.close()
    return stored_model(registry)


def test_changed_storage_is_refused(own_storage: Path) -> None:
    description = own_storage / "artifacts" / "bundle" / "bundle.json"
    description.write_text(description.read_text().replace("copepod", "krill"))
    with pytest.raises(RegistryError, match="not those that were registered"):
        resolve_bundle("models:/plankton/1")


def test_lost_storage_says_where_the_files_should_be(own_storage: Path) -> None:
    shutil.rmtree(own_storage)
    with pytest.raises(RegistryError, match=rf"{own_storage}.*register the bundle again"):
        resolve_bundle("models:/plankton/1")


def test_code_from_the_registry_is_not_executed(own_storage: Path, bundle_folder: Path) -> None:
    marker = Path("executed")
    for code in own_storage.rglob("*.py"):
        code.write_text(f"open({str(marker.absolute())!r}, 'w')\n")
    assert cache.files_hash(resolve_bundle("models:/plankton/1")) == cache.files_hash(bundle_folder)
    assert not marker.exists()


def test_bundle_of_a_run_is_found_and_a_new_one_noticed(lab: Path, tmp_path: Path) -> None:
    experiment = client().create_experiment("mine", artifact_location=(lab / "mine").as_uri())
    run_id = client().create_run(experiment).info.run_id
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for seed in ("0", "1"):
        (bundle / "bundle.json").write_text(f'{{"seed": {seed}}}')
        (bundle / "model.safetensors").write_text(f"weights {seed}")
        client().log_artifacts(run_id, str(bundle), "bundle")
        folder = resolve_bundle(f"runs:/{run_id}/bundle")
        assert (folder / "model.safetensors").read_text() == f"weights {seed}"
    with pytest.raises(RegistryError, match=r"no bundle at 'best'; its artifacts: bundle"):
        resolve_bundle(f"runs:/{run_id}/best")


def test_registry_of_another_folder(lab: Path, registered: Path, bundle_folder: Path) -> None:
    folder = resolve_bundle("models:/plankton@candidate", f"sqlite:///{registered}/mlflow.db")
    assert cache.files_hash(folder) == cache.files_hash(bundle_folder)


def test_folder_stands_for_itself(bundle_folder: Path) -> None:
    assert resolve_bundle(str(bundle_folder)) == bundle_folder


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("models:/plankton@champion", RegistryError, r"no alias champion.*candidate \(version 1\)"),
        ("models:/plankton/2", RegistryError, "no version 2; it has 1$"),
        ("models:/krill@champion", RegistryError, "no model krill; it has plankton"),
        ("models:/plankton", RegistryError, "expected models:/NAME@alias"),
        ("models:/../1", RegistryError, "begin with a point"),
        ("models:/plankton/../../x", RegistryError, "expected models:/NAME@alias"),
        ("runs:/0123abc/bundle", RegistryError, "knows no run 0123abc"),
        ("runs:/0123abc/../../x", RegistryError, "expected runs:/ID/bundle"),
        ("runs:/..", RegistryError, "expected runs:/ID/bundle"),
        ("no/such/folder", BundleError, "no/such/folder: no such folder"),
        ("mlflow.db", BundleError, "it is a file"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    registry: Path, text: str, error: type[TrackingError | BundleError], words: str
) -> None:
    with pytest.raises(error, match=words):
        resolve_bundle(text)


def test_version_without_a_bundle(registry: Path) -> None:
    client().create_registered_model("forest")
    client().create_model_version("forest", str(registry))
    with pytest.raises(RegistryError, match="version 1 of forest holds no bundle"):
        resolve_bundle("models:/forest/1")


@pytest.mark.parametrize(
    "text", ["..", ".", "", "a/../../b", "/etc", "a\\b", ".hidden", "%2E%2E", "ä b"]
)
def test_cache_names_stay_one_file_in_the_folder(tmp_path: Path, text: str) -> None:
    path = tmp_path / safe_name(text)
    path.write_text(text)
    assert path.resolve().parent == tmp_path
    assert list(tmp_path.iterdir()) == [path]
    assert not path.name.startswith(".")


def test_cache_names_stay_different() -> None:
    texts = ["a/b", "a%2Fb", "a_b", "..", "%2E.", "", "%"]
    assert len({safe_name(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("text", ["models:/plankton@champion", "runs:/0123456789abcdef/bundle"])
def test_looking_up_a_bundle_makes_no_database(tmp_path: Path, text: str) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(RegistryError, match="in the folder where you trained"):
        resolve_bundle(text, uri)
    assert list(tmp_path.iterdir()) == []
