"""``plankton-da audit``: small labelled samples of the target."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

audit_app = typer.Typer(
    help="Choose the images of the new camera that are worth labelling.",
    no_args_is_help=True,
)


class StrategyName(StrEnum):
    """Values of ``--strategy``."""

    balanced = "balanced"
    uncertain = "uncertain"
    random = "random"
    coverage = "coverage"


@audit_app.command("select")
def select(
    predictions: Annotated[
        Path, typer.Argument(metavar="P.csv", help="Predictions, as classify writes them.")
    ],
    images: Annotated[int, typer.Option("--n", min=1, help="How many images to choose.")],
    out: Annotated[Path, typer.Option(help="The manifest to write, A.csv or A.parquet.")],
    strategy: Annotated[
        StrategyName,
        typer.Option(
            help="balanced: as many of each predicted class. uncertain: closest second class. "
            "random. coverage: scores unlike each other."
        ),
    ] = StrategyName.balanced,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same choice.")] = 0,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(metavar="EARLIER.csv", help="Never choose what this manifest holds."),
    ] = None,
    copy_to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also copy the images into this new folder, one sub-folder per predicted label.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the manifest if it exists.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Choose images to label from predictions, and write them as a manifest without labels.

    Fill its column label; or sort the copies of --copy-to in a file browser and read the folder
    back with: plankton-da manifest build folders DIR
    """
    from plankton_da.evaluation.audit import select_images

    selection = select_images(
        predictions,
        out,
        images=images,
        strategy=strategy.value,
        seed=seed,
        exclude=exclude or (),
        copy_to=copy_to,
        overwrite=overwrite,
    )
    typer.echo(selection.to_json() if as_json else selection.words())
