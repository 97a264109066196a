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
    "distill": {"method.teachers": ["runs/mcc/bundle", "runs/cdan/bundle"]},
}
"""method -> dotted keys that its config sets other than the defaults"""

RECOMMENDED = "recommended"
"""name of the config that a lab starts with"""
_RECOMMENDED_METHOD = "source_only"
_RECOMMENDED: dict[str, tuple[Any, str]] = {
    "data.target_labelled": (
        None,
        "a hundred labelled images of the new camera gain more than any method without labels "
        "(benchmarks/results/few_labels.md); pick them with: plankton-da audit select",
    ),
    "data.image_size": (
        160,
        "with a few labels more on both cameras than 112 (benchmarks/results/few_labels.md); 1.6 "
        "times the pixels of 128, and about as much more time",
    ),
    "data.augmentation": (
        "strong",
        "gained on the new camera what it cost on mid (docs/negative_results.md)",
    ),
    "method.name": (
        _RECOMMENDED_METHOD,
        "where one class is half of the target, no method without labels gained macro recall over "
        "it, and self_training gained accuracy (benchmarks/results/isiis_pwspc.md); where the "
        "target's classes are balanced, mcc gained 0.03 (pwspc_isiis.md). Try the one that fits, "
        "and let an audit decide",
    ),
    "model.batch_norm": (
        "frozen",
        "where the classes' shares differ between cameras, re-estimated statistics absorb the "
        "difference and lose accuracy",
    ),
    "model.freeze": (
        6,
        "the stem and five of the seven blocks of tf_efficientnet_lite0: no worse than learning "
        "more, and what they give is computed once; set none for another backbone, or count its "
        "stages",
    ),
    "training.steps": (600, "the benchmarks took 450"),
}
"""dotted key -> value and why"""


def config_text(
    name: str,
    *,
    mid: Paths | None = None,
    target: Paths | None = None,
    changes: Mapping[str, Any] | None = None,
) -> str:
    """A commented YAML config for a method, every key with its value and what it means.

    ``name`` is a method's, or ``recommended``: what to start with, with the reasons. ``changes``
    are dotted keys that differ from the preset.

    Raises
    ------
    ConfigError
        No such method, or a value in ``changes`` is impossible.
    """
    method, preset, reasons = name, PRESETS.get(name, {}), {}
    if name == RECOMMENDED:
        method = _RECOMMENDED_METHOD
        preset = {key: value for key, (value, _) in _RECOMMENDED.items()}
        reasons = {key: why for key, (_, why) in _RECOMMENDED.items()}
    elif name not in method_configs():
        known = [RECOMMENDED, *method_configs()]
        raise ConfigError(
            f"no method named {name}{suggest(name, known)}; known: {', '.join(known)}"
        )
    raw: dict[str, Any] = {}
    settings = {
        "output_dir": f"runs/{name}",
        "method.name": method,
        "data.mid": ("data_manifests/mid.csv",),
        "data.target": target or ("data_manifests/target.csv",),
        **preset,
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
        *(f"# {line}" for line in textwrap.wrap(f"{name}: {summary}", _WIDTH - 2)),
        "# Train with: plankton-da train THIS.yaml",
        "",
        *_section(config, reasons),
    ]
    return "\n".join(lines) + "\n"


def _section(
    section: BaseModel, reasons: Mapping[str, str], place: tuple[str, ...] = ()
) -> Iterator[str]:
    indent = "  " * len(place)
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        words = " ".join((field.description or "").split())
        yield from textwrap.wrap(
            words, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   "
        )
        if why := reasons.get(".".join((*place, name))):
            yield from textwrap.wrap(
                f"why: {why}",
                _WIDTH,
                initial_indent=f"{indent}# ",
                subsequent_indent=f"{indent}#   ",
            )
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _section(value, reasons, (*place, name))
        else:
            yield f"{indent}{name}: {_scalar(value)}"
        if not place:
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
