"""``plankton-da quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def quantize(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder; or, with --out, models:/NAME@alias, models:/NAME/3, runs:/ID/bundle.",
            show_default=False,
        ),
    ],
    mid: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="M.csv",
            help="Manifest of mid. Default: what the bundle was trained on.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="T.csv",
            help="Manifest of the target. Default: what the bundle was trained on.",
            show_default=False,
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="T.csv",
            help="label,class: what mid's labels are called in the bundle. Default: training's.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder for a copy of the bundle. Default: BUNDLE itself gets the model.",
            show_default=False,
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="MLflow server or database that models:/ and runs:/ mean."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Make a bundle's 8-bit model, for classify --engine onnx-int8: faster on processors.

    It is calibrated on training images of both cameras and accepted only if, on mid's val split, at
    least 99% of the labels stay and at most 0.5 points of macro recall are lost. Else exit code 4,
    with the figures; the bundle is then as it was.
    """
    import json

    from plankton_da.evaluation.quantization import quantize as quantize_bundle
    from plankton_da.evaluation.quantization import words_of
    from plankton_da.tracking.registry import resolve_bundle

    folder = resolve_bundle(bundle, tracking_uri)
    found = quantize_bundle(
        folder,
        mid or (),
        target or (),
        taxonomy=taxonomy,
        out=out,
        bundle_uri=bundle,
        progress=True,
    )
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), ensure_ascii=False, indent=2))
    else:
        typer.echo(words_of(found, out or folder))
