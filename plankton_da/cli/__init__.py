"""The command line: parse, call one library function, print.

Nothing heavy is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import sys
from typing import Annotated, NoReturn

import typer

from plankton_da.cli.audit import audit_app
from plankton_da.cli.classify import classify
from plankton_da.cli.demo import demo
from plankton_da.cli.evaluate import evaluate
from plankton_da.cli.export import export
from plankton_da.cli.manifest import manifest_app
from plankton_da.cli.merge import merge
from plankton_da.cli.quantize import quantize
from plankton_da.cli.registry import promote, register
from plankton_da.cli.report import report
from plankton_da.cli.taxonomy import taxonomy_app
from plankton_da.cli.train import compare, init, list_known, train
from plankton_da.errors import OutputError, PlanktonDAError

_INTERRUPTED = 130

app = typer.Typer(
    name="plankton-da",
    help="Adapt plankton image classifiers to a new camera whose images nobody has labelled.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time to --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.add_typer(manifest_app, name="manifest")
app.add_typer(taxonomy_app, name="taxonomy")
app.command()(init)
app.command()(train)
app.command()(compare)
app.command()(evaluate)
app.command()(quantize)
app.command()(classify)
app.command()(merge)
app.add_typer(audit_app, name="audit")
app.command()(export)
app.command()(report)
app.command()(register)
app.command()(promote)
app.command("list")(list_known)


def _print_versions(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        for package in ("plankton-da", "torch", "timm", "mlflow"):
            typer.echo(f"{package} {version(package)}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_versions,
            is_eager=True,
            help="Versions of plankton-da, torch, timm and mlflow.",
        ),
    ] = False,
) -> None:
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("plankton_da")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def main() -> None:
    """``run`` in a process of its own, whose exit code nothing spoils."""
    try:
        run()
    except SystemExit as ended:
        if isinstance(ended.code, int) and ended.code:
            _end(ended.code)
        raise


def run() -> None:
    """Run the command line; an error that the user can mend ends with its message and exit code."""
    try:
        app()
    except PlanktonDAError as error:
        typer.echo(f"plankton-da: {error}", err=True)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:  # what Typer makes of a KeyboardInterrupt
            _say_interrupted()
        raise
    except KeyboardInterrupt:
        _say_interrupted()
        sys.exit(_INTERRUPTED)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more when it ends
        typer.echo(f"plankton-da: stdout cannot be written: {error.strerror}; make room", err=True)
        sys.exit(OutputError.exit_code)


def _end(exit_code: int) -> NoReturn:
    """Do what Python does at its end, but for tearing itself down.

    Native threads of libraries may still run then, and now and then abort the process ("terminate
    called without an active exception"): the exit code that scripts go by would be lost.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(exit_code)


def _say_interrupted() -> None:
    words = "interrupted; finished work is kept: the same command continues (train: with --resume)"
    typer.echo(f"plankton-da: {words}", err=True)
