"""From a YAML file to a checked config; what is wrong is said by key, with the nearest known name.

Loading is pure: nothing is downloaded, no folder is made, no heavy library is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from plankton_da.config import AdamWConfig, Config, SGDConfig, method_configs
from plankton_da.errors import ConfigError, suggest

QUICK = (
    "model.freeze=all",
    "model.bottleneck_dim=0",
    "training.frozen_copies=4",
    "training.yardstick=false",
)
"""overrides of ``train --quick``: a linear classifier on frozen features, computed once"""


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML config (YAML 1.2) and apply ``dotted.key=value`` overrides (values are YAML).

    Raises
    ------
    ConfigError
        The file is missing or not YAML, holds a duplicate, unknown or ignored key, or a value of
        the wrong type or range. The message names file, key and what was found.
    """
    path = Path(path)
    raw = _parse_yaml(_read_text(path), str(path))
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path}: expected a mapping such as 'seed: 0', found {type(raw).__name__}"
        )
    for override in overrides:
        _apply_override(raw, override)
    return parse_config(raw, where=str(path))


def parse_config(raw: Mapping[str, Any], where: str = "config") -> Config:
    """Validate a config given as nested mappings.

    Raises
    ------
    ConfigError
        As ``load_config``.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        lines = [
            line for problem in error.errors() for line in _describe(dict(problem)).splitlines()
        ]
        raise ConfigError("\n".join(f"{where}: {line}" for line in lines)) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; write one with: plankton-da init dann --out {path}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def _parse_yaml(text: str, where: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        words = str(error.problem).partition(" with value")[0]
        raise ConfigError(f"{where}, line {line}: {words}; keep one of the two") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{where}, line {line}: not YAML: {error.problem}") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: not YAML: {error}") from None


def _apply_override(raw: dict[str, Any], override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator or not all(dotted.split(".")):
        raise ConfigError(
            f"--set {override}: expected dotted.key=value, such as training.steps=600"
        )
    *parents, leaf = dotted.split(".")
    node = raw
    for key in parents:
        child = node.get(key)
        if child is None:
            child = node[key] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override}: {key} is a value ({child!r}), not a section")
        node = child
    node[leaf] = _parse_yaml(text, f"--set {override}")


def _describe(problem: dict[str, Any]) -> str:
    tags = _tagged_configs()
    location = [str(part) for part in problem["loc"] if str(part) not in tags]
    key = ".".join(location) or "the whole"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key{_nearest(location[-1], problem['loc'][:-1])}"
    if problem["type"] == "missing":
        return f"{key}: required key is missing"
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        known = problem["ctx"].get("expected_tags") or ", ".join(method_configs())
        found = problem["ctx"].get("tag", "none")
        names = [name.strip("' ") for name in str(known).split(",")]
        return (
            f"{key}.name: expected one of {', '.join(names)}; found {found}{suggest(found, names)}"
        )
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: expected a section of key: value, found {problem['input']!r}"
    words = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return words if key == "the whole" else f"{key}: {words}"
    return f"{key}: {words[:1].lower()}{words[1:]}; found {problem['input']!r}"


def _nearest(name: str, parents: Sequence[object]) -> str:
    section: Any = Config
    for part in map(str, parents):
        if get_origin(section) is dict:
            section = get_args(section)[1]
        elif isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[part].annotation
        else:  # a union: the part is the tag
            section = _tagged_configs()[part]
    known = list(section.model_fields)
    return suggest(name, known) or f"; known keys: {', '.join(known)}"


def _tagged_configs() -> dict[str, type[BaseModel]]:
    return {**method_configs(), "sgd": SGDConfig, "adamw": AdamWConfig}
