"""``plankton-da taxonomy``: label maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

taxonomy_app = typer.Typer(
    help="Label maps: what archives call an image -> the class that the network learns.",
    no_args_is_help=True,
)


@taxonomy_app.callback()
def _group() -> None:
    """Keep ``suggest`` a sub-command although it is the only one."""


@taxonomy_app.command("suggest")
def suggest(
    mid: Annotated[
        Path, typer.Argument(metavar="MID.csv", help="Manifest whose labels are to be mapped.")
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET_OR_LIST",
            help="Names to map them to: a labelled manifest, a .txt with one name per line, a "
            "bundle's folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The taxonomy to write (.csv).")],
    near: Annotated[float, typer.Option(help="Least score of a similar name, 1 to 100.")] = 75.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Propose a label map; what is a guess stays unusable until somebody has confirmed it."""
    from plankton_da.manifests.suggest import suggest_taxonomy, suggestion_summary

    found = suggest_taxonomy(mid, target, out, near, overwrite)
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else suggestion_summary(found))
