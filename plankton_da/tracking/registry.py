"""The MLflow model registry: bundles under a name, versions and aliases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plankton_da.config import TrackingConfig
from plankton_da.errors import BundleError, RegistryError, suggest
from plankton_da.tracking.cache import (
    BUNDLE_FILE,
    WEIGHTS_FILE,
    bundle_hash,
    cached_bundle,
    files_hash,
)
from plankton_da.tracking.catalogue import (
    aliases_of,
    check_alias,
    check_name,
    listed,
    version_of,
)
from plankton_da.tracking.experiments import find_or_create_experiment
from plankton_da.tracking.server import as_default, connect, talking_to
from plankton_da.tracking.uris import redact, sqlite_file
from plankton_da.tracking.uris import tracking_uri as settled_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

TAG = "plankton_da."
FORMS = "a folder, models:/NAME@alias, models:/NAME/3 or runs:/ID/bundle"


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model."""

    name: str
    version: int
    aliases: tuple[str, ...]
    uri: str
    """``models:/NAME/VERSION``"""
    run_id: str
    """run whose model it is"""
    replaced: int | None = None
    """version that the alias pointed at before"""


def register(
    bundle_folder: Path | str,
    name: str,
    alias: str | None = None,
    tracking_uri: str | None = None,
) -> RegisteredVersion:
    """Put a bundle into the registry as the next version of ``name``.

    The model belongs to the run that trained the bundle where the tracking server knows it, else to
    a new run. ``bundle_folder`` may also be any other form that ``resolve_bundle`` takes.

    Raises
    ------
    BundleError
        ``bundle_folder`` is not a bundle.
    RegistryError
        The name or the alias is not permitted, the model does not answer its own example, or the
        registry refuses.
    TrackingError
        The server does not answer.
    """
    check_name(name)
    if alias is not None:
        check_alias(alias)
    uri = settled_uri(tracking_uri)
    folder = resolve_bundle(str(bundle_folder), tracking_uri)
    info = _read_info(folder)
    client = connect(uri)
    with talking_to(uri), as_default(uri):
        from plankton_da.tracking.served import log_bundle

        run_id = _run_of(client, uri, info, name)
        model_id = log_bundle(client, run_id, folder, info)
        _create_model(client, name)
        made = client.create_model_version(
            name, f"models:/{model_id}", run_id, tags=_provenance(folder, info), model_id=model_id
        )
    if alias is not None:
        return promote(name, made.version, alias, tracking_uri)
    return _registered(made, ())


def promote(
    name: str, version: int | str, alias: str, tracking_uri: str | None = None
) -> RegisteredVersion:
    """Let ``alias`` point at a version; it points at no other any more.

    Raises
    ------
    RegistryError
        The name or the version is not there (the message lists what is), or the alias is not
        permitted.
    TrackingError
        The server does not answer.
    """
    check_alias(alias)
    uri = settled_uri(tracking_uri)
    client = connect(uri)
    with talking_to(uri):
        found = version_of(client, uri, name, str(version))
        before = aliases_of(client, uri, name).get(alias)
        client.set_registered_model_alias(name, alias, str(found.version))
        aliases = aliases_of(client, uri, name)
    held = tuple(sorted(held for held, at in aliases.items() if at == int(found.version)))
    return _registered(found, held, before)


def resolve_bundle(text: str, tracking_uri: str | None = None) -> Path:
    """The local folder of a bundle given as a folder, ``models:/N@alias``, ``models:/N/3`` or
    ``runs:/ID/bundle``.

    A bundle from the registry is downloaded once per version into the user's cache, and its files
    are compared with the hash recorded at registration, at every use. No code of the registered
    model is executed.

    Raises
    ------
    BundleError
        No such folder.
    RegistryError
        The registry has no such model, version, alias or run; the message lists what it has.
    TrackingError
        The server does not answer.
    """
    if text.startswith("models:"):
        return _resolve_model(text, settled_uri(tracking_uri))
    if text.startswith("runs:"):
        return _resolve_run(text, settled_uri(tracking_uri))
    if Path(text).is_dir():
        return Path(text)
    found = "it is a file" if Path(text).exists() else "no such folder"
    raise BundleError(f"{text}: {found}; a bundle is {FORMS}")


def _resolve_model(text: str, uri: str) -> Path:
    form = re.fullmatch(r"models:/+([^/@]+)(?:@([^/@]+)|/(\d+))", text)
    if form is None:
        raise RegistryError(f"{text}: expected models:/NAME@alias or models:/NAME/3")
    name, alias, version = form.groups()
    client = _connect_to_read(text, uri)
    with talking_to(uri):
        if alias is not None:
            aliases = aliases_of(client, uri, name)
            if alias not in aliases:
                raise RegistryError(
                    f"MLflow at {redact(uri)}: model {name} has no alias {alias}"
                    f"{suggest(alias, list(aliases))}; it has {listed(aliases)}; "
                    f"set it with: plankton-da promote {name} VERSION --alias {alias}"
                )
            version = str(aliases[alias])
        found = version_of(client, uri, name, version)
        expected = found.tags.get(f"{TAG}files_sha256")
        if expected is None:
            raise RegistryError(
                f"MLflow at {redact(uri)}: version {version} of {name} holds no bundle; add "
                "one with: plankton-da register BUNDLE --name NAME"
            )
        source = f"{client.get_model_version_download_uri(name, version)}/artifacts/bundle"
        return cached_bundle(uri, source, ("models", name, version), expected)


def _connect_to_read(text: str, uri: str) -> MlflowClient:
    """A client that does not make the database which it cannot find."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise RegistryError(
            f"{text}: there is no {file}; give the command in the folder where you trained, or "
            f"name the database or server: --tracking-uri, or MLFLOW_TRACKING_URI"
        )
    return connect(uri)


def _resolve_run(text: str, uri: str) -> Path:
    from mlflow.exceptions import MlflowException

    form = re.fullmatch(r"runs:/+([A-Za-z0-9_-]+)/(.+)", text)
    if form is None or ".." in form[2].split("/"):
        raise RegistryError(f"{text}: expected runs:/ID/bundle")
    run_id, path = form[1], form[2].strip("/")
    client = _connect_to_read(text, uri)
    with talking_to(uri):
        try:
            there = [file.path for file in client.list_artifacts(run_id, path)]
            beside = [file.path for file in client.list_artifacts(run_id)]
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise RegistryError(f"MLflow at {redact(uri)} knows no run {run_id}") from None
        if f"{path}/{BUNDLE_FILE}" not in there:
            raise RegistryError(
                f"MLflow at {redact(uri)}: run {run_id} has no bundle at {path!r}; its artifacts: "
                f"{listed(beside)}"
            )
        return cached_bundle(uri, f"runs:/{run_id}/{path}", ("runs", run_id, path), None)


def _read_info(folder: Path) -> dict[str, Any]:
    """``bundle.json`` as it is; the package's reader checks it when the model is loaded."""
    from safetensors import SafetensorError, safe_open

    path = folder / BUNDLE_FILE
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: not a bundle's description: {error}; a bundle is {FORMS}"
        ) from None
    if not isinstance(info, dict) or not info.get("target_instruments"):
        raise BundleError(f"{path}: not a bundle's description; a bundle is {FORMS}")
    try:
        with safe_open(folder / WEIGHTS_FILE, framework="numpy"):  # whole, as its header says
            pass
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"{folder / WEIGHTS_FILE}: missing or damaged: {error}; copy the bundle again"
        ) from None
    return info


def _run_of(client: MlflowClient, uri: str, info: Mapping[str, Any], name: str) -> str:
    from mlflow.exceptions import MlflowException

    run_id = info.get("run_id")
    if run_id is not None:
        try:
            if client.get_run(run_id).info.lifecycle_stage == "active":
                return str(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
    experiment = find_or_create_experiment(client, uri, TrackingConfig().experiment)
    run = client.create_run(experiment, run_name=f"register {name}")
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _create_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def _provenance(folder: Path, info: Mapping[str, Any]) -> dict[str, str]:
    texts = ("method", "backbone", "git_commit", "created", "preprocess_hash", "seed", "run_id")
    lists = (
        "classes",
        "mid_instruments",
        "target_instruments",
        "licences",
        "manifests",
        "versions",
    )
    return {
        f"{TAG}bundle_sha256": bundle_hash(folder),
        f"{TAG}files_sha256": files_hash(folder),
        **{TAG + key: str(info[key]) for key in texts if info.get(key) is not None},
        **{TAG + key: json.dumps(info[key], ensure_ascii=False) for key in lists if key in info},
    }


def _registered(
    found: ModelVersion, aliases: tuple[str, ...], replaced: int | None = None
) -> RegisteredVersion:
    version = int(found.version)
    uri = f"models:/{found.name}/{version}"
    return RegisteredVersion(found.name, version, aliases, uri, found.run_id or "", replaced)
