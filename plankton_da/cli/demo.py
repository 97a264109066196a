"""``plankton-da demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("plankton_da_demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of drawing and training.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove an earlier demo in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Try everything on drawn plankton: two cameras in, an adapted and registered model out."""
    import json

    from plankton_da.demo.journey import describe, run_demo

    result = run_demo(out, seed=seed, overwrite=overwrite, progress=True)
    if as_json:
        document = {
            "out": str(result.out),
            "source_only": result.source_only,
            "dann": result.dann,
            "registered": result.registered,
            "predictions": str(result.predictions),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        typer.echo(describe(result))
