"""``plankton-da manifest``: make, check and divide manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

manifest_app = typer.Typer(
    help="Make, check and divide manifests: tables with one row per image.",
    no_args_is_help=True,
)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")]


@manifest_app.command("build")
def build(
    format_name: Annotated[
        str, typer.Argument(metavar="FORMAT", help="What the inputs are: folders.")
    ],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Where images are.")],
    instrument: Annotated[str, typer.Option(help="Name of the camera, such as IFCB or ISIIS.")],
    out: Annotated[Path, typer.Option(help="The manifest to write (.csv or .parquet).")],
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Sub-folders are not labels.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a manifest of an archive; a sub-folder's name is the label of the images in it."""
    from plankton_da.manifests.ingest import build_manifest
    from plankton_da.manifests.summary import build_summary, skipped_lines

    result = build_manifest(
        format_name, inputs, instrument, out, labelled=not unlabelled, overwrite=overwrite
    )
    for line in skipped_lines(result.skipped, result.hidden):
        typer.echo(line, err=True)
    typer.echo(build_summary(result.table, out))


@manifest_app.command("check")
def check(
    manifests: Annotated[list[Path], typer.Argument(metavar="M.csv", help="Manifests.")],
    open_images: Annotated[
        bool, typer.Option("--open-images", help="Also decode every image.")
    ] = False,
    taxonomy: Annotated[
        Path | None,
        typer.Option(help="Label map (CSV label,class) to apply first."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that decode; one per processor if not said."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List every problem with its file and line; exit code 3 if there is one."""
    from plankton_da.manifests.checks import check_manifests
    from plankton_da.manifests.summary import check_summary

    report = check_manifests(manifests, open_images, taxonomy, workers, progress=True)
    typer.echo(json.dumps(report.as_json(), indent=2) if as_json else check_summary(report))
    report.raise_if_not_ok()


@manifest_app.command("split")
def split(
    manifest: Annotated[Path, typer.Argument(metavar="M.csv", help="A manifest.")],
    out: Annotated[Path, typer.Option(help="The manifest to write (.csv or .parquet).")],
    ratios: Annotated[str, typer.Option(help="Shares of train,val,test.")] = "70,15,15",
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same division.")] = 0,
    group: Annotated[
        str | None,
        typer.Option(help="Column whose equal values stay together; group if not said."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Divide the rows into train, val and test: stratified by label, never across a group."""
    from plankton_da.manifests.dividing import divide, parse_ratios
    from plankton_da.manifests.summary import build_summary

    table = divide(manifest, parse_ratios(ratios), seed, out, group, overwrite)
    typer.echo(build_summary(table, out))
