"""A config as commented YAML: what ``init`` writes and ``configs/`` holds."""

from __future__ import annotations

import contextlib
import io
import os
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from plankton_da.config import Paths, method_configs
from plankton_da.config_reading import parse_config
from plankton_da.errors import ConfigError, OutputError, suggest

_WIDTH = 100

PRESETS: dict[str, dict[str, Any]] = {
    "source_only": {},
    "adabn": {},
    # The article's objective has no layer between backbone and classifier.
    "dann": {"model.bottleneck_dim": 0},
    "cdan": {},
    "mcc": {},
    "pada": {},
    "self_training": {},
    "mic": {},
    "shot": {"data.mid": None, "model.from_bundle": "models:/plankton@champion"},
}
"""method -> dotted keys that its config sets other than the defaults"""


def config_text(
    method: str,
    *,
    mid: Paths | None = None,
    target: Paths | None = None,
    changes: Mapping[str, Any] | None = None,
) -> str:
    """A commented YAML config for ``method``, every key with its value and what it means.

    ``changes`` are dotted keys that differ from the method's preset.

    Raises
    ------
    ConfigError
        No such method, or a value in ``changes`` is impossible.
    """
    if method not in method_configs():
        raise ConfigError(
            f"no method named {method}{suggest(method, list(method_configs()))}; "
            f"known: {', '.join(method_configs())}"
        )
    raw: dict[str, Any] = {}
    settings = {
        "output_dir": f"runs/{method}",
        "method.name": method,
        "data.mid": ("data_manifests/mid.csv",),
        "data.target": target or ("data_manifests/target.csv",),
        **PRESETS[method],
        **({"data.mid": mid} if mid else {}),
        **(changes or {}),
    }
    for dotted, value in settings.items():
        *parents, leaf = dotted.split(".")
        node = raw
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    config = parse_config(raw)
    summary = " ".join((method_configs()[method].__doc__ or "").split())
    lines = [
        *(f"# {line}" for line in textwrap.wrap(f"{method}: {summary}", _WIDTH - 2)),
        "# Train with: plankton-da train THIS.yaml",
        "",
        *_section(config, 0),
    ]
    return "\n".join(lines) + "\n"


def _section(section: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        words = " ".join((field.description or "").split())
        yield from textwrap.wrap(
            words, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   "
        )
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _section(value, depth + 1)
        else:
            yield f"{indent}{name}: {_scalar(value)}"
        if depth == 0:
            yield ""


def _scalar(value: object) -> str:
    from ruamel.yaml import YAML

    if isinstance(value, Mapping):
        value = {key: item.model_dump(mode="json") for key, item in value.items()}
    if isinstance(value, tuple):
        value = list(value)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = True
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue().removesuffix("...\n").strip()


def write_config(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write a config file.

    Raises
    ------
    OutputError
        The file exists and ``overwrite`` is off, or cannot be written.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; give another --out, or --overwrite")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; make room or permit writing "
            f"there, or give another --out"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
