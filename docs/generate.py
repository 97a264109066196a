"""Write what follows from the code: docs/cli.md, docs/config.md, configs/*.yaml.

    python docs/generate.py

Run it after a change to a command, an option, a config field or a method; tests compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.testing import CliRunner

from plankton_da.cli import app
from plankton_da.config import (
    AdamWConfig,
    Config,
    DataConfig,
    InstrumentPreprocessConfig,
    ModelConfig,
    PreprocessConfig,
    SGDConfig,
    TrackingConfig,
    TrainingConfig,
    method_configs,
)
from plankton_da.config_text import RECOMMENDED, config_text

REPOSITORY = Path(__file__).parent.parent
NOTE = "<!-- written by: python docs/generate.py -->"
TYPER = f"<!-- typer {version('typer')}, whose layout of --help this is -->"

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_KINDS = {"array": "list of paths", "boolean": "true, false", "object": "section"}


def generated() -> dict[str, str]:
    """File, relative to the repository -> its text."""
    return {
        "docs/cli.md": cli_page(),
        "docs/config.md": config_page(),
        **{f"configs/{name}.yaml": config_text(name) for name in (RECOMMENDED, *method_configs())},
    }


def cli_page() -> str:
    """The ``--help`` of every command."""
    parts = [
        f"{NOTE}\n{TYPER}",
        "# Command line",
        "What each command says of itself with `--help`. Results go to stdout, log lines and\n"
        "progress bars to stderr. The exit codes stand in the [README](../README.md#exit-codes).",
    ]
    for words in _commands():
        called = " ".join(["plankton-da", *words])
        parts += [f"## `{called}`", f"```text\n{_help(words)}\n```"]
    return "\n\n".join(parts) + "\n"


def _commands() -> Iterator[list[str]]:
    yield []
    for command in app.registered_commands:
        yield [command.name or str(getattr(command.callback, "__name__", ""))]
    for group in app.registered_groups:
        yield [str(group.name)]
        inner = group.typer_instance.registered_commands if group.typer_instance else []
        yield from ([str(group.name), str(command.name)] for command in inner)


def _help(words: list[str]) -> str:
    width = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    shown = CliRunner().invoke(app, [*words, "--help"], env=width, prog_name="plankton-da")
    return "\n".join(line.rstrip() for line in shown.stdout.strip().splitlines())


def config_page() -> str:
    """Every key of a config, with its default and its meaning."""
    sections: dict[str, type[BaseModel]] = {
        "data": DataConfig,
        "data.preprocess": PreprocessConfig,
        "data.preprocess.instruments.NAME": InstrumentPreprocessConfig,
        "model": ModelConfig,
        "training": TrainingConfig,
        "tracking": TrackingConfig,
    }
    parts = [
        NOTE,
        "# Config",
        "A config is a YAML 1.2 file. A key that is left out takes its default; an unknown or a\n"
        "duplicate key is an error. `plankton-da init METHOD --out my.yaml` writes a config with\n"
        "every key in it. On the command line, `--set section.key=value` changes one key; the\n"
        "value is YAML. Relative paths are relative to the working directory, and one path may\n"
        "stand where a list of paths is expected.",
        "## Top level",
        _table(Config, ""),
    ]
    for name, model in sections.items():
        parts += [f"## `{name}`", _words(model), _table(model, f"{name}.")]
    parts += ["## `method`", "`method.name` says which of these sections it is."]
    for name, model in method_configs().items():
        parts += [f"### `{name}`", _words(model), _table(model, "method.")]
    parts += ["## `optimizer`", "`optimizer.name` says which of these sections it is."]
    optimizers: dict[str, type[BaseModel]] = {"sgd": SGDConfig, "adamw": AdamWConfig}
    for name, model in optimizers.items():
        parts += [f"### `{name}`", _words(model), _table(model, "optimizer.")]
    return "\n\n".join(parts) + "\n"


def _words(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _table(model: type[BaseModel], prefix: str) -> str:
    rows = [("key", "value", "default", "meaning"), ("---",) * 4, *_rows(model, prefix)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        inner = field.annotation
        if name == "crop" and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _rows(inner, f"{prefix}{name}.")
        elif "$ref" not in properties[name] and "discriminator" not in properties[name]:
            default = "required" if field.is_required() else f"`{_yaml(field.get_default())}`"
            meaning = " ".join((field.description or "").split()).replace("|", r"\|")
            yield f"`{prefix}{name}`", _kind(properties[name]), default, meaning


def _kind(schema: Mapping[str, Any]) -> str:
    """What a field takes, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    kind = str(schema.get("type", "section"))
    return " ".join([_KINDS.get(kind, kind), *([", ".join(bounds)] if bounds else [])])


def _yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def main() -> None:
    """Write the files."""
    for name, text in generated().items():
        path = REPOSITORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
