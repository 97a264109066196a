"""``plankton-da export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def export(
    predictions: Annotated[
        Path, typer.Argument(metavar="P.csv", help="What classify wrote (.csv or .parquet).")
    ],
    format_name: Annotated[
        str, typer.Option("--format", help="What is to be written; see: plankton-da list exports")
    ],
    out: Annotated[Path, typer.Option(help="Where to write it: a file, or a folder.")],
    columns: Annotated[
        str | None,
        typer.Option(help="csv: columns to write, as object_id,label,score.", show_default=False),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(help="Label map (CSV label,class): what classes are called there."),
    ] = None,
    update_only: Annotated[
        bool,
        typer.Option("--update-only", help="ecotaxa: no images, to update objects in EcoTaxa."),
    ] = False,
    max_mb: Annotated[
        int | None,
        typer.Option(
            "--max-mb", min=1, help="ecotaxa: begin another zip after so many MB (default: 500)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there already.")
    ] = False,
    allow_failures: Annotated[
        bool, typer.Option("--allow-failures", help="Exit code 0 also when rows were left out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write predictions in the form that another tool reads.

    Exit code 5: all else is written, but some rows could not be exported; stderr names them.
    """
    from plankton_da.errors import SomeImagesFailed
    from plankton_da.manifests.problems import counted
    from plankton_da.prediction.export import ExportOptions, export_predictions

    options = ExportOptions(
        overwrite=overwrite,
        columns=tuple(columns.split(",")) if columns else (),
        taxonomy=taxonomy,
        update_only=update_only,
        max_mb=max_mb,
        progress=True,
    )
    result = export_predictions(predictions, format_name, out, options)
    for line in (*result.notes, *result.skipped_lines()):
        typer.echo(line, err=True)
    typer.echo(json.dumps(result.to_json(), indent=2) if as_json else result.words())
    if result.skipped and not allow_failures:
        raise SomeImagesFailed(
            f"{counted(len(result.skipped), 'row')} of {predictions} not exported, for the reasons "
            f"above (--allow-failures makes this exit code 0)"
        )
