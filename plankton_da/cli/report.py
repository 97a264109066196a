"""``plankton-da report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="P.csv|RUN|BUNDLE",
            help="What classify wrote (.csv or .parquet), a training run's folder, or a bundle: "
            "a folder, models:/NAME@alias, models:/NAME/3 or runs:/ID/bundle.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="X.html",
            help="The page. Default: P.html beside P.csv, else report.html.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the page if it exists.")
    ] = False,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="MLflow server or database that models:/ and runs:/ mean."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show predictions on one page: counts, scores, pictures and failures of every class.

    The page is a single file that any browser opens from disk, without a network. Of a run or a
    bundle it shows the scores per instrument and class, the diagnosis and the origin.
    """
    import json

    from plankton_da.evaluation.report.page import default_out, is_predictions, write_report
    from plankton_da.tracking.registry import resolve_bundle

    place = Path(source) if is_predictions(source) else resolve_bundle(source, tracking_uri)
    page = out or default_out(source)
    result = write_report(place, page, overwrite=overwrite, progress=True)
    for line in result.remarks():
        typer.echo(line, err=True)
    typer.echo(json.dumps(result.to_json(), indent=2) if as_json else str(result.out))
