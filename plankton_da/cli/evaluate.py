"""``plankton-da evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plankton_da.cli.classify import Abstain, DeviceName, EngineName, Prior, Views, ViewsName


def evaluate(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder, models:/NAME@alias, models:/NAME/3 or runs:/ID/bundle.",
            show_default=False,
        ),
    ],
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="M.csv", help="Labelled manifests.", show_default=False),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Rows to score: a split, or all. Default: test, or all where no row has a split.",
            show_default=False,
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="T.csv",
            help="label,class: what the manifests' labels are called in the bundle.",
        ),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="auto: ONNX Runtime on the CPU, torch on CUDA.")
    ] = EngineName.auto,
    device: Annotated[DeviceName, typer.Option(help="Where torch runs.")] = DeviceName.auto,
    prior: Prior = "none",
    views: Views = ViewsName.ONE,
    abstain: Abstain = 0.0,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="MLflow server or database that models:/ and runs:/ mean."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Score a bundle on labelled images: per instrument and per class.

    Labels that the bundle does not know are counted and kept out of the scores. Images that cannot
    be read are named on stderr; the exit code is then 5.
    """
    import json

    from plankton_da.errors import SomeImagesFailed
    from plankton_da.evaluation.evaluate import evaluate as score_bundle
    from plankton_da.evaluation.report.text import format_failures, format_scores
    from plankton_da.manifests.table import read_manifest
    from plankton_da.prediction.predictor import Predictor
    from plankton_da.tracking.registry import resolve_bundle

    tables = [read_manifest(path) for path in manifests]
    folder = resolve_bundle(bundle, tracking_uri)
    predictor = Predictor.open(
        folder,
        engine=engine.value,
        device=device.value,
        prior=prior,
        views=int(views),  # type: ignore[arg-type]  # an enum of just these
    )
    document = score_bundle(predictor, tables, split, taxonomy, abstain=abstain, progress=True)
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))
    else:
        typer.echo(format_scores(document))
    if document["failures"]:
        raise SomeImagesFailed(format_failures(document["failures"]))
