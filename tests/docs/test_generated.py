"""Pages that are written from the code say what the code says."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
WAY_OUT = "out of date; run: python docs/generate.py"


def test_config_page(generated: dict[str, str]) -> None:
    assert (REPOSITORY / "docs/config.md").read_text() == generated["docs/config.md"], WAY_OUT


def test_config_page_has_every_key(generated: dict[str, str]) -> None:
    page = generated["docs/config.md"]
    written = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    for config in (REPOSITORY / "configs").glob("*.yaml"):
        parents: list[str] = []
        for line in config.read_text().splitlines():
            found = re.match(r"( *)(\w+):(.*)", line)
            if found is None:
                continue
            parents = [*parents[: len(found[1]) // 2], found[2]]
            if found[3]:
                assert ".".join(parents) in written, config


def test_cli_page(generated: dict[str, str]) -> None:
    page = (REPOSITORY / "docs/cli.md").read_text()
    if f"<!-- typer {version('typer')}," in page:
        assert page == generated["docs/cli.md"], WAY_OUT
    # another typer lays the same help out differently
    assert options_of(page) == options_of(generated["docs/cli.md"]), WAY_OUT


def options_of(page: str) -> dict[str, set[str]]:
    """Command -> the options that its section names."""
    _, *sections = page.split("\n## ")
    return {
        section.partition("\n")[0]: set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", section))
        for section in sections
    }


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("plankton-da", "--version"),
        ("plankton-da demo", "--seed"),
        ("plankton-da train", "--resume"),
        ("plankton-da classify", "--sort-into"),
        ("plankton-da manifest split", "--ratios"),
        ("plankton-da list", "--json"),
    ],
)
def test_cli_page_has_every_command(generated: dict[str, str], command: str, option: str) -> None:
    assert option in options_of(generated["docs/cli.md"])[f"`{command}`"]
