"""What the registry has, and which names it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from plankton_da.errors import RegistryError, suggest
from plankton_da.tracking.uris import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MAX_LISTED = 20


def check_name(name: str) -> None:
    """Refuse a name that MLflow or a ``models:/`` URI cannot hold (``RegistryError``)."""
    if (
        not re.fullmatch(r"[^/:@\\%?#'\"\x00-\x1f]+", name)
        or name.strip() != name
        or name[0] == "."
    ):
        raise RegistryError(
            f"model name {name!r}: a name must not be empty, hold / : @ \\ % ? # "
            "quotes or control characters, or begin with a point; such as plankton"
        )


def check_alias(alias: str) -> None:
    """Refuse an alias that MLflow does not take (``RegistryError``)."""
    if (
        not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", alias)
        or alias == "latest"
        or re.fullmatch(r"[vV]\d+", alias)
        or alias.isdecimal()
    ):
        raise RegistryError(
            f"alias {alias!r}: an alias has letters, digits, - and _, is not 'latest' and not a "
            "version such as 'v1' or '1'; use candidate or champion"
        )


def version_of(client: MlflowClient, uri: str, name: str, version: str) -> ModelVersion:
    """A version that exists (``RegistryError`` where it does not, with those that do)."""
    aliases_of(client, uri, name)
    versions = client.search_model_versions(f"name = '{name}'")
    for found in versions:
        if str(found.version) == version:
            return found
    known = sorted((int(found.version) for found in versions), reverse=True)
    raise RegistryError(
        f"MLflow at {redact(uri)}: model {name} has no version {version}; it has {listed(known)}"
    )


def aliases_of(client: MlflowClient, uri: str, name: str) -> dict[str, int]:
    """Alias -> version of a model that exists (``RegistryError`` where it does not)."""
    from mlflow.exceptions import MlflowException

    check_name(name)
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise
        known = [model.name for model in client.search_registered_models(max_results=1000)]
        raise RegistryError(
            f"MLflow at {redact(uri)} has no model {name}{suggest(name, known)}; it has "
            f"{listed(known)}; add one with: plankton-da register BUNDLE --name {name}"
        ) from None
    return {alias: int(version) for alias, version in model.aliases.items()}


def listed(known: Mapping[str, int] | Sequence[object]) -> str:
    """Names, or aliases with their versions, for a message; ``none`` where there are none."""
    words = (
        [f"{alias} (version {version})" for alias, version in known.items()]
        if isinstance(known, Mapping)
        else [str(name) for name in known]
    )
    more = f" and {len(words) - MAX_LISTED} more" if len(words) > MAX_LISTED else ""
    return ", ".join(words[:MAX_LISTED]) + more if words else "none"
