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
        str,
        typer.Argument(metavar="FORMAT", help="What the inputs are; see: plankton-da list ingests"),
    ],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Where images are.")],
    instrument: Annotated[str, typer.Option(help="Name of the camera, such as IFCB or ISIIS.")],
    out: Annotated[Path, typer.Option(help="The manifest to write (.csv or .parquet).")],
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="No labels: sub-folders mean nothing.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(help="File or folder that holds the labels, where images come without."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS", help="Column of the manifest = column of the table: image=path"
        ),
    ] = None,
    all_labels: Annotated[
        bool, typer.Option("--all-labels", help="Also labels that nobody has confirmed.")
    ] = False,
    pixel_size_um: Annotated[
        float | None,
        typer.Option(help="Side of a pixel in micrometres, where the archive does not say it."),
    ] = None,
    overwrite: Overwrite = False,
    allow_failures: Annotated[
        bool,
        typer.Option("--allow-failures", help="Exit code 0 also when some could not be read."),
    ] = False,
) -> None:
    """Make a manifest of an archive of images.

    What cannot be read is named with the reason, and the rest is written. Exit code 5: so it was.
    """
    from plankton_da.errors import SomeImagesFailed
    from plankton_da.manifests.ingest import IngestOptions, build_manifest
    from plankton_da.manifests.ingest.options import parse_columns
    from plankton_da.manifests.summary import build_summary, left_out_lines

    options = IngestOptions(not unlabelled, labels, parse_columns(column or ()), all_labels)
    result = build_manifest(
        format_name,
        inputs,
        instrument,
        out,
        options=options,
        pixel_size_um=pixel_size_um,
        overwrite=overwrite,
    )
    for line in left_out_lines(result):
        typer.echo(line, err=True)
    typer.echo(build_summary(result.table, out))
    if result.failed and not allow_failures:
        raise SomeImagesFailed(
            f"{out} is written, but {len(result.failed)} place(s) could not be read; they are "
            "listed above (--allow-failures makes this exit code 0)"
        )


@manifest_app.command("check")
def check(
    manifests: Annotated[list[Path], typer.Argument(metavar="M.csv", help="Manifests.")],
    open_images: Annotated[
        bool, typer.Option("--open-images", help="Also decode every image.")
    ] = False,
    no_images: Annotated[
        bool,
        typer.Option("--no-images", help="Do not look whether the images' files are there."),
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
    from plankton_da.errors import UsageError
    from plankton_da.manifests.checks import check_manifests
    from plankton_da.manifests.summary import check_summary

    if open_images and no_images:
        raise UsageError("--open-images and --no-images exclude each other; leave one out")
    report = check_manifests(
        manifests, open_images, taxonomy, workers, progress=True, look_for_images=not no_images
    )
    typer.echo(json.dumps(report.as_json(), indent=2) if as_json else check_summary(report))
    report.raise_if_not_ok()


@manifest_app.command("check-ecotaxa")
def check_ecotaxa(
    bundles: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE", help="Zips, folders or tables, from any program."),
    ],
    update_only: Annotated[
        bool,
        typer.Option("--update-only", help="For an import that updates: images need not be there."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say whether EcoTaxa's importer would take a bundle; exit code 3 if not, with all reasons."""
    from plankton_da.manifests.ecotaxa_check import check_bundles, raise_if_not_ok

    reports = check_bundles(bundles, update_only=update_only)
    if as_json:
        found = {
            "ok": all(report.ok for report in reports),
            "bundles": [report.as_json() for report in reports],
        }
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo("\n".join(report.words() for report in reports))
    raise_if_not_ok(reports)


@manifest_app.command("split")
def split(
    manifest: Annotated[Path, typer.Argument(metavar="M.csv", help="A manifest.")],
    out: Annotated[Path, typer.Option(help="The manifest to write (.csv or .parquet).")],
    ratios: Annotated[str, typer.Option(help="Percent of train,val,test.")] = "70,15,15",
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same division.")] = 0,
    group: Annotated[
        str | None,
        typer.Option(help="Column whose equal values stay together; group if not said."),
    ] = None,
    overwrite: Overwrite = False,
    overwrite_split: Annotated[
        bool, typer.Option("--overwrite-split", help="Divide anew, where rows have a split.")
    ] = False,
) -> None:
    """Divide the rows into train, val and test: stratified by label, never across a group."""
    from plankton_da.manifests.dividing import divide, parse_ratios
    from plankton_da.manifests.summary import build_summary

    shares = parse_ratios(ratios)
    table = divide(manifest, shares, seed, out, group, overwrite, overwrite_split)
    typer.echo(build_summary(table, out))
