"""The MLflow model registry: bundles under a name, versions and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model."""

    name: str
    version: int
    aliases: tuple[str, ...]
    uri: str
    """``models:/NAME/VERSION``"""
    run_id: str


def register(
    bundle_folder: Path, name: str, alias: str | None = None, tracking_uri: str | None = None
) -> RegisteredVersion:
    """Put a bundle into the registry as the next version of ``name``.

    Raises
    ------
    BundleError
        ``bundle_folder`` is not a bundle.
    RegistryError
        The name or the alias is not permitted, or the registry refuses.
    TrackingError
        The server does not answer.
    """
    raise NotImplementedError


def promote(
    name: str, version: int | str, alias: str, tracking_uri: str | None = None
) -> RegisteredVersion:
    """Let ``alias`` point at a version.

    Raises
    ------
    RegistryError
        The name or the version is not there (the message lists what is), or the alias is not
        permitted.
    """
    raise NotImplementedError


def resolve_bundle(text: str, tracking_uri: str | None = None) -> Path:
    """The local folder of a bundle given as a folder, ``models:/N@alias``, ``models:/N/3`` or
    ``runs:/ID/bundle``.

    Raises
    ------
    BundleError
        No such folder.
    RegistryError
        The registry has no such model, version or alias; the message lists what it has.
    TrackingError
        The server does not answer.
    """
    raise NotImplementedError
