"""``plankton-da classify``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineName(StrEnum):
    """Values of ``--engine``."""

    auto = "auto"
    onnx = "onnx"
    onnx_int8 = "onnx-int8"
    torch = "torch"


class DeviceName(StrEnum):
    """Values of ``--device``."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class BackendName(StrEnum):
    """Values of ``--backend``."""

    local = "local"
    ray = "ray"


class ViewsName(StrEnum):
    """How many turned views of an image are averaged."""

    ONE = "1"
    FOUR = "4"
    EIGHT = "8"


Views = Annotated[
    ViewsName,
    typer.Option(
        help="Average each image's quarter turns (4), and their mirror images (8): steadier, and "
        "as many times the work."
    ),
]
Prior = Annotated[
    str,
    typer.Option(
        metavar="none|estimated|FILE",
        help="Class shares to correct scores by: the bundle's estimate for its target, or a table "
        "label,share.",
    ),
]
Abstain = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Call images unclassified that are less certain than all but this share of mid's "
        "were, such as 0.05.",
    ),
]


def classify(
    bundle: Annotated[
        str,
        typer.Argument(
            help="A bundle's folder, models:/NAME@alias, models:/NAME/3 or runs:/ID/bundle."
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Folders (with all below), images, manifests, zips, tars, IFCB bins.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The result: P.csv or P.parquet.")],
    engine: Annotated[
        EngineName,
        typer.Option(help="auto: the fastest that bundle and machine have, tried for a second."),
    ] = EngineName.auto,
    backend: Annotated[
        BackendName,
        typer.Option(
            help="Who works: this machine, or all of a Ray cluster; the rows are the same."
        ),
    ] = BackendName.local,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|auto",
            help="A Ray cluster that runs already (default: RAY_ADDRESS, else this machine).",
            show_default=False,
        ),
    ] = None,
    instrument: Annotated[
        str | None,
        typer.Option(
            help="The camera of all images (default: the manifest's, or the bundle's target).",
            show_default=False,
        ),
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="Where torch runs.")] = DeviceName.auto,
    top_k: Annotated[
        int, typer.Option("--top-k", min=1, help="Also the next best labels: label_2, score_2, ...")
    ] = 1,
    all_scores: Annotated[
        bool, typer.Option("--all-scores", help="Also one column p_<class> per class.")
    ] = False,
    prior: Prior = "none",
    views: Views = ViewsName.ONE,
    abstain: Abstain = 0.0,
    sort_into: Annotated[
        Path | None,
        typer.Option(help="Also copy the images into this folder, one sub-folder per label."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only the i-th of n parts of the images; join them with merge.",
            show_default=False,
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also try images again that failed before.")
    ] = False,
    image_timeout: Annotated[
        float,
        typer.Option(help="Seconds that one image may take; then it fails with timeout."),
    ] = 60.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew, replacing what --out holds.")
    ] = False,
    allow_failures: Annotated[
        bool, typer.Option("--allow-failures", help="Exit code 0 also when images failed.")
    ] = False,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow server that models:/ and runs:/ are looked up on.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Classify images: one row each in --out, failures included.

    The same command again goes on where the last one ended, and classifies what is new or changed.
    Exit code 5: all is written, but some images failed (column error says why).
    """
    from plankton_da.errors import SomeImagesFailed
    from plankton_da.prediction.folder import classify as classify_inputs
    from plankton_da.tracking.registry import resolve_bundle

    summary = classify_inputs(
        resolve_bundle(bundle, tracking_uri),
        inputs,
        out,
        engine=engine.value,
        device=device.value,
        instrument=instrument,
        top_k=top_k,
        all_scores=all_scores,
        prior=prior,
        views=int(views),  # type: ignore[arg-type]  # an enum of just these
        abstain=abstain,
        sort_into=sort_into,
        shard=shard,
        retry_failed=retry_failed,
        image_timeout=image_timeout,
        overwrite=overwrite,
        backend=backend.value,
        ray_address=ray_address,
        bundle_uri=bundle,
    )
    typer.echo(json.dumps(summary.to_json()) if as_json else summary.words())
    if summary.failed and not allow_failures:
        raise SomeImagesFailed(
            f"{summary.failed:,} of {summary.images:,} images failed; the column error of "
            f"{summary.out} says why (--allow-failures makes this exit code 0)"
        )
