"""Downloaded bundles, each kept once; nothing in them is executed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from plankton_da.errors import OutputError, RegistryError
from plankton_da.tracking.uris import redact

BUNDLE_FILE = "bundle.json"
WEIGHTS_FILE = "model.safetensors"


def files_hash(folder: Path) -> str:
    """sha256 over names and contents of all files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(_sha256(path))
    return digest.hexdigest()


def bundle_hash(folder: Path) -> str:
    """sha256 over bundle.json and the weights: which model this is, in all rooms.

    What ``quantize`` adds to a bundle (the key ``int8``) does not make it another one.
    """
    text = (folder / BUNDLE_FILE).read_bytes()
    if b'"int8"' in text:
        about = json.loads(text)
        if about.pop("int8", None) is not None:
            text = (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode()
    parts = (hashlib.sha256(text).digest(), _sha256(folder / WEIGHTS_FILE))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def cached_bundle(uri: str, source: str, place: tuple[str, ...], expected: str | None) -> Path:
    """The local folder of the bundle at the artifact URI ``source``, downloaded if it is not there.

    ``place`` (kind, name, version) becomes a folder of the user's cache; whatever characters it
    has, it cannot lead out of it. ``expected`` is the ``files_hash`` recorded at registration;
    where there is none, a new ``bundle.json`` tells a new bundle from the one downloaded before.

    Raises
    ------
    RegistryError
        What was downloaded is not what was registered.
    OutputError
        The cache folder cannot be written to.
    """
    from platformdirs import user_cache_path

    root = user_cache_path("plankton_da") / "bundles"
    parent = root.joinpath(*(safe_name(part) for part in place[:-1]))
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".download-") as temporary:
            key = expected or _sha256(_download(uri, f"{source}/{BUNDLE_FILE}", temporary)).hex()
            kept = parent / f"{safe_name(place[-1])}-{key[:16]}"
            if _is_whole(kept):
                return kept / "bundle"
            fresh = Path(temporary, "fresh")
            bundle = _download(uri, source, fresh)
            found = files_hash(bundle)
            if expected is not None and found != expected:
                raise RegistryError(
                    f"{source} at {redact(uri)}: its files are not those that were registered "
                    f"(sha256 {found[:16]}..., registered {expected[:16]}...); the storage is "
                    "damaged or was changed: register the bundle again"
                )
            bundle.rename(fresh / "bundle")
            (fresh / "sha256").write_text(found)
            _put(fresh, kept)
    except OSError as error:
        raise OutputError(
            f"{error.filename or parent}: the bundle cannot be kept in the cache: "
            f"{error.strerror or error}; make room there, or set XDG_CACHE_HOME to another folder"
        ) from error
    return kept / "bundle"


def safe_name(text: str) -> str:
    """``text`` as the name of one file: no separators, not hidden, no way up."""
    name = quote(text, safe=" @+,=")
    return f"%2E{name[1:]}" if name.startswith(".") else name or "%"


def _download(uri: str, source: str, folder: Path | str) -> Path:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=source, dst_path=str(folder), tracking_uri=uri, registry_uri=uri
        )
    except MlflowException as error:
        raise RegistryError(
            f"{source}: MLflow at {redact(uri)} has this bundle on record, but its files cannot "
            f"be had: {' '.join(str(error).split())}; if they were moved or deleted, move them "
            "back or register the bundle again"
        ) from error
    return Path(path)


def _is_whole(kept: Path) -> bool:
    try:
        return files_hash(kept / "bundle") == (kept / "sha256").read_text()
    except FileNotFoundError:
        return False


def _put(fresh: Path, kept: Path) -> None:
    """Move ``fresh`` to its place in one step; a damaged predecessor goes first."""
    if kept.exists() and not _is_whole(kept):
        shutil.rmtree(kept)
    try:
        os.rename(fresh, kept)
    except OSError:
        if not _is_whole(kept):  # else another process was first with the same files
            raise


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
