"""``plankton-da register`` and ``plankton-da promote``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from plankton_da.tracking.registry import RegisteredVersion

TrackingUri = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="MLflow server or database. Default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="Folder, models:/NAME@alias, models:/NAME/3 or runs:/ID/bundle.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Registered model.", show_default=False)
    ],
    alias: Annotated[
        str | None,
        typer.Option(metavar="ALIAS", help="Let this alias point at the new version."),
    ] = None,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Put a bundle into the MLflow model registry, as the next version of NAME."""
    from plankton_da.tracking.registry import register as register_bundle

    _print(register_bundle(bundle, name, alias, tracking_uri), alias, as_json)


def promote(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Registered model.", show_default=False)
    ],
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Its version, such as 3.", show_default=False)
    ],
    alias: Annotated[
        str,
        typer.Option(
            metavar="ALIAS", help="Alias to point at it, such as champion.", show_default=False
        ),
    ],
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias of a registered model point at another version."""
    from plankton_da.tracking.registry import promote as promote_version

    _print(promote_version(name, version, alias, tracking_uri), alias, as_json)


def _print(found: RegisteredVersion, alias: str | None, as_json: bool) -> None:
    import dataclasses
    import json

    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2))
        return
    typer.echo(f"{found.uri}  aliases: {', '.join(found.aliases) or 'none'}")
    if found.replaced not in (None, found.version):
        typer.echo(f"{alias} pointed at version {found.replaced} before")
