"""The output_dir of a run: what it holds, and whether it may be used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from plankton_da.config import Config
from plankton_da.errors import ConfigError, OutputError
from plankton_da.prediction.files import FileLock, explained

BUNDLE = "bundle"
_UNFINISHED = ".tmp"
_LOCK = "lock"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What ``train`` prints with ``--json``."""

    run_id: str | None
    bundle: str
    selected_step: int
    selected_by: str
    metrics: dict[str, float]
    """MLflow metric key -> value, of the selected step"""
    diagnosis: list[str]


class RunFolder:
    """``run.json`` (config, MLflow run), ``checkpoints/``, ``bundle/``, ``result.json``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.bundle = path / BUNDLE
        self._state = path / "run.json"
        self._result = path / "result.json"
        self._lock = FileLock(path / _LOCK, path, "give another output_dir: --set output_dir=...")

    def claim(self, config: Config, *, resume: bool, processes: int = 1) -> TrainResult | None:
        """Take the folder for a run of ``config``; the result of a run that is finished.

        ``processes`` is how many train together; a run may go on in another number of them.

        Raises
        ------
        OutputError
            The folder holds a run and ``resume`` is off, or holds something else, or cannot be
            written.
        ConfigError
            The run to be resumed was started with another config or other manifests.
        """
        self._require_writable()
        if not self._state.exists():
            if self.path.exists() and not self._is_empty():
                raise OutputError(
                    f"output_dir {self.path} exists and holds no run; give another one: "
                    f"--set output_dir=..."
                )
            return None
        if not resume:
            raise OutputError(
                f"output_dir {self.path} holds a run already; continue it with --resume, or give "
                f"another one: --set output_dir=..."
            )
        self._require_same(config)
        if self._result.exists():
            return self._read_result()
        self._require_same_files(config)
        if (before := self._read_state()["processes"]) != processes:
            log.warning(
                "the run in %s began in %d process(es) and goes on in %d: on the same batches, but "
                "not bit for bit",
                *(self.path, before, processes),
            )
        return None

    def lock(self) -> None:
        """Keep other processes from training here until ``unlock`` or the end of this one.

        A folder that is not there yet is locked by ``begin``, which makes it.

        Raises
        ------
        OutputError
            Another process trains here.
        """
        if self.path.is_dir():
            self._lock.acquire()

    def unlock(self) -> None:
        """Let others train here."""
        self._lock.release()

    def run_id(self) -> str | None:
        """The MLflow run of an earlier attempt."""
        return self._read_state().get("run_id") if self._state.exists() else None

    def require_same_start(self, start: str | None) -> None:
        """Refuse to go on from other weights than the run began with; ``start`` is their hash.

        Raises
        ------
        ConfigError
            An alias moved on, the folder was written anew, or a backbone module has other weights.
        """
        if self._state.exists() and self._read_state()["start"] != start:
            raise ConfigError(
                f"model.from_bundle is not the bundle that the run in {self.path} began with, or "
                f"a backbone module has other weights now (make it from the same seed). "
                f"Resume with that one (models:/NAME/VERSION does not move), or give another "
                f"output_dir: --set output_dir=..."
            )

    def begin(
        self, config: Config, run_id: str | None, start: str | None = None, processes: int = 1
    ) -> None:
        """Record what runs here; remove what a killed process left half written."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.lock()
        for leftover in self._leftovers():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        files = _data_files(config)
        settings = config.model_dump(mode="json")
        document = {"run_id": run_id, "config": settings, "files": files, "start": start}
        self.write("run.json", {**document, "processes": processes})

    def finish(self, result: TrainResult) -> None:
        """Record the result: the run is finished."""
        self.write("result.json", asdict(result))

    def write(self, name: str, document: object) -> Path:
        """Write a JSON document atomically.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        path = self.path / name
        temporary = path.with_name(f".{name}.{os.getpid()}{_UNFINISHED}")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written: {error.strerror or error}; make room or permit "
                f"writing there, and continue with --resume"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return path

    def _require_writable(self) -> None:
        """Before images are decoded for it: that may take hours."""
        folder = self.path.absolute()
        while not os.path.lexists(folder):
            folder = folder.parent
        if folder == self.path.absolute() and not folder.is_dir():
            return  # said by claim
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            why = "is not writable" if folder.is_dir() else "is not a folder"
            raise OutputError(
                f"output_dir {self.path} cannot be written: {folder} {why}; give another one: "
                f"--set output_dir=..."
            )

    def _is_empty(self) -> bool:
        """Nothing is there but a lock and what a killed process left half written."""
        known = {*self._leftovers(), self.path / _LOCK}
        return self.path.is_dir() and known.issuperset(self.path.iterdir())

    def _leftovers(self) -> list[Path]:
        return [*self.path.glob(f".*.json.*{_UNFINISHED}"), *self.path.glob(f".{BUNDLE}.*")]

    def _read_state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8"))
            keys = {"run_id": state["run_id"], "config": dict(state["config"])}
            keys |= {"files": dict(state.get("files", {})), "start": state.get("start")}
            return {**keys, "processes": int(state.get("processes", 1))}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise OutputError(
                f"{self._state} is damaged ({error}), so that this run cannot be continued; give "
                f"another output_dir: --set output_dir=..."
            ) from None

    def _read_result(self) -> TrainResult:
        try:
            return TrainResult(**json.loads(self._result.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise OutputError(
                f"{self._result} is damaged ({error}); remove it, and --resume writes it again"
            ) from None

    def _require_same(self, config: Config) -> None:
        before = _flat(_with_defaults(self._read_state()["config"]))
        now = _flat(config.model_dump(mode="json"))
        # change nothing that is learnt
        free = ("data.workers", "data.cache", "output_dir", "tracking.uri")
        changed = [
            f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key) and key not in free
        ]
        if changed:
            raise ConfigError(
                f"{self.path} holds a run of another config: {'; '.join(changed)}. Resume with the "
                f"config it was started with, or give another output_dir"
            )

    def _require_same_files(self, config: Config) -> None:
        """A run on changed labels would go on without complaint, and mean nothing."""
        before = self._read_state()["files"]
        now = _data_files(config)
        changed = [path for path in now if before.get(path, now[path]) != now[path]]
        if changed:
            raise ConfigError(
                f"{', '.join(changed)} was changed since the run in {self.path} began. Resume with "
                f"the file as it was, or give another output_dir: --set output_dir=..."
            )


def _data_files(config: Config) -> dict[str, str]:
    """Path -> sha256 of the tables that decide what is learnt and chosen; absent ones left out."""
    data = config.data
    tables = (data.mid, data.target, data.target_labelled, data.audit)
    paths = (*(path for table in tables for path in table or ()), data.taxonomy)
    hashes = {}
    for path in filter(None, paths):
        with contextlib.suppress(FileNotFoundError), Path(path).open("rb") as file:
            hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """A config that an earlier version wrote, with the options that are new since."""
    try:
        return Config.model_validate(config).model_dump(mode="json")
    except ValidationError:
        return config


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


flat_config = _flat
