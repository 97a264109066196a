"""``init``, ``train`` and ``list``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    """What ``list`` knows."""

    METHODS = "methods"
    INGESTS = "ingests"
    EXPORTS = "exports"


def init(
    out: Annotated[Path, typer.Option(help="The YAML file to write.")],
    method: Annotated[
        str,
        typer.Argument(
            help="recommended: what to start with, and why. Or a method's name; see: plankton-da "
            "list methods"
        ),
    ] = "recommended",
    mid: Annotated[
        list[str] | None, typer.Option(help="Manifest of the labelled instrument.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Manifest of the new instrument.")
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option(help="CSV label,class: what the labels are called in the model.")
    ] = None,
    from_bundle: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Start from this bundle (folder, models:/NAME@alias); method shot needs one.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file if it exists.")] = False,
) -> None:
    """Write a commented config with every option at its default."""
    from plankton_da.config_text import config_text, write_config

    changes: dict[str, object] = {"data.taxonomy": taxonomy} if taxonomy else {}
    if from_bundle:
        from plankton_da.adaptation.start import bundle_settings

        changes |= bundle_settings(from_bundle)
    text = config_text(method, mid=tuple(mid or ()), target=tuple(target or ()), changes=changes)
    write_config(text, out, overwrite=overwrite)
    typer.echo(f"wrote {out}; next: plankton-da train {out}")


def train(
    config: Annotated[Path, typer.Argument(help="A YAML config; write one with: plankton-da init")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key: training.steps=600"),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Learn the last layer alone, on features that are computed once and kept: "
            "a first answer in minutes, the next in seconds.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in output_dir, or start it.")
    ] = False,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow tracking URI; the same as --set tracking.uri=...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train on two instruments, choose a model without target labels, write its bundle."""
    import json
    from dataclasses import asdict

    from plankton_da.config_reading import QUICK, load_config

    settings = [*(QUICK if quick else ()), *(overrides or ())]
    settings += [f"tracking.uri={tracking_uri}"] if tracking_uri else []
    loaded = load_config(config, settings)

    if not resume:  # a finished run needs them no more
        from plankton_da.manifests.glance import glance

        glance(loaded.data)  # before what takes seconds to load

    from plankton_da.adaptation.ranks import is_first_process
    from plankton_da.adaptation.training import train as run_training

    result = run_training(loaded, resume=resume, progress=True)
    if not is_first_process():
        return
    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2, ensure_ascii=False))
        return
    from plankton_da.adaptation.summary import summary

    typer.echo(summary(result))


def compare(
    runs: Annotated[list[Path], typer.Argument(help="output_dir of finished runs.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show runs side by side and choose one without target labels."""
    import json
    from dataclasses import asdict

    from plankton_da.adaptation.compare import compare as compare_runs
    from plankton_da.adaptation.compare import comparison_text

    comparison = compare_runs(runs)
    if as_json:
        typer.echo(json.dumps(asdict(comparison), indent=2, ensure_ascii=False))
    else:
        typer.echo(comparison_text(comparison))


def list_known(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the methods or the formats that this version knows."""
    import json

    known: Sequence[Mapping[str, str | list[str]]]
    if kind is Kind.METHODS:
        from plankton_da.config import method_summaries

        known = [{"name": name, "summary": text} for name, text in method_summaries().items()]
    elif kind is Kind.EXPORTS:
        from plankton_da.prediction.export import describe_exports

        known = describe_exports()
    else:
        from plankton_da.manifests.ingest import describe_ingests

        known = describe_ingests()
    if as_json:
        typer.echo(json.dumps(known, indent=2, ensure_ascii=False))
        return
    for each in known:
        typer.echo(f"{each['name']:14} {each['summary']}")
        for more in ("columns", "options"):
            if each.get(more):
                typer.echo(f"{'':14} {more}: {', '.join(each[more])}")
