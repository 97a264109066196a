"""``register`` and ``promote`` as a user types them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from plankton_da.cli import run as command_line

RunCommand: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Runs plankton-da with these arguments: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["plankton-da", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line()
        out, err = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    return run


def test_promote_prints_what_the_alias_points_at(registry: Path, run_command: RunCommand) -> None:
    code, out, err = run_command("promote", "plankton", "1", "--alias", "champion")
    assert (code, err) == (0, "")
    assert out == "models:/plankton/1  aliases: candidate, champion\n"


def test_register_prints_one_json_document(
    lab: Path, bundle_folder: Path, run_command: RunCommand
) -> None:
    arguments = ["--name", "plankton", "--alias", "candidate", "--json"]
    code, out, err = run_command("register", str(bundle_folder), *arguments)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert len(document.pop("run_id")) == 32
    assert document == {
        "name": "plankton",
        "version": 1,
        "aliases": ["candidate"],
        "uri": "models:/plankton/1",
        "replaced": None,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("promote krill 1 --alias champion", "has no model krill; it has plankton"),
        ("promote plankton 2 --alias champion", "has no version 2; it has 1"),
        ("promote plankton 1 --alias latest", "use candidate or champion"),
        ("register nowhere --name plankton", "nowhere: no such folder"),
        ("register . --name a/b", "such as plankton"),
        ("promote plankton 1 --alias a --tracking-uri http://127.0.0.1:1", "nothing listens there"),
    ],
)
def test_refusals_have_exit_code_4_and_no_traceback(
    registry: Path,
    run_command: RunCommand,
    arguments: str,
    words: str,
) -> None:
    code, out, err = run_command(*arguments.split())
    assert (code, out) == (4, "")
    assert words in err
    assert "Traceback" not in err
