"""``plankton-da merge``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(metavar="SHARD...", help="What classify --shard 1/n to n/n wrote."),
    ],
    out: Annotated[Path, typer.Option(help="The result: P.csv or P.parquet.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
    allow_failures: Annotated[
        bool, typer.Option("--allow-failures", help="Exit code 0 also when images failed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Join the results of all shards to what one run would have written, byte for byte.

    Exit code 5: all is written, but some images failed (column error says why).
    """
    from plankton_da.errors import SomeImagesFailed
    from plankton_da.prediction.merge import merge as merge_shards

    summary = merge_shards(shards, out, overwrite=overwrite)
    typer.echo(json.dumps(summary.to_json()) if as_json else summary.words())
    if summary.failed and not allow_failures:
        raise SomeImagesFailed(
            f"{summary.failed:,} of {summary.images:,} images failed; the column error of "
            f"{summary.out} says why (--allow-failures makes this exit code 0)"
        )
