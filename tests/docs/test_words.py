"""What the documents say exists: messages, commands, options, files, links."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from plankton_da.cli import app
from plankton_da.errors import ImageError

REPOSITORY = Path(__file__).parent.parent.parent
PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
        REPOSITORY / "data_manifests" / "README.md",
    ]
)
HOLE = "\0"


def template_of(node: ast.expr) -> str | None:
    """The text of a string literal, with ``HOLE`` where a value is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values
        )
    return None


@cache
def texts() -> tuple[str, ...]:
    """Every text that the package may say."""
    found = set()
    for file in (REPOSITORY / "plankton_da").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.expr) and (text := template_of(node)):
                found.add(text)
    return tuple(found)


def is_said(message: str) -> bool:
    """Whether some text of the package has the message, with anything where it has ``…``."""
    pattern = re.compile(".*?".join(map(re.escape, message.split("…"))), re.DOTALL)
    return any(pattern.search(text) for text in texts())


def messages() -> list[str]:
    """The messages of the README's table of troubles."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## When something goes wrong")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("message", messages())
def test_a_message_of_the_readme_exists(message: str) -> None:
    assert is_said(message)


def test_messages_are_found_and_missed() -> None:
    assert len(messages()) > 20
    assert is_said("output_dir … holds a run already")
    assert not is_said("output_dir … holds a dance already")


def shell_commands(page: Path) -> Iterator[str]:
    """``plankton-da ...`` as a page shows it: lines of fenced or indented blocks, inline code."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    yield from re.findall(r"^(?:    +)?(plankton-da .+)$", text, re.MULTILINE)
    yield from re.findall(r"`(plankton-da [^`\n]+)`", text)


ALL = [
    pytest.param(command, id=f"{page.relative_to(REPOSITORY)}: {command}"[:100])
    for page in PAGES
    if page.name != "cli.md"  # its blocks are help texts
    for command in dict.fromkeys(shell_commands(page))
]


@pytest.mark.parametrize("line", ALL)
def test_a_command_in_the_documents_parses(line: str) -> None:
    parses(line)


def parses(line: str) -> None:
    """Raises unless command and options exist and the required ones are there."""
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "..."]
    if "--help" in words:
        return
    command = typer.main.get_command(app)
    context = command.make_context("plankton-da", list(words), resilient_parsing=True)
    while hasattr(command, "resolve_command"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, f"{line}: no command {name}"
        command = found
        context = command.make_context(name, list(words), parent=context)


@pytest.mark.parametrize(
    "line",
    [
        "plankton-da classfy b f --out p.csv",
        "plankton-da classify b f --out p.csv --top 3",
        "plankton-da classify b f",
        "plankton-da manifest divide m.csv",
    ],
)
def test_a_wrong_command_does_not_parse(line: str) -> None:
    with pytest.raises((Exception, SystemExit)):
        parses(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Names that headings can be reached by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:plankton_da|tests|docs|configs|benchmarks)/[\w./]+\.\w+)`", text)
    for file in named:
        if not file.startswith("benchmarks/results/"):
            assert (REPOSITORY / file).is_file(), file


PYTHON = [
    pytest.param(block, id=f"{page.relative_to(REPOSITORY)}: {number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize("block", PYTHON)
def test_what_python_in_the_documents_imports_exists(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("plankton_da"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                # docs/adaptation.md makes this one; its own test runs it
                assert alias.name == "CoralConfig" or hasattr(module, alias.name), alias.name


def test_every_code_of_an_image_error_is_explained() -> None:
    page = (REPOSITORY / "docs" / "images.md").read_text(encoding="utf-8")
    section = page.partition("## Formats")[2].partition("\n## ")[0]
    explained = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    raised = {text for text in ImageError.CODES if _is_raised(text)}
    assert explained == raised


def _is_raised(code: str) -> bool:
    """Whether a file other than the list of codes makes an ``ImageError`` of this code."""
    pattern = re.compile(rf'ImageError\(\s*"{code}"')
    return any(
        pattern.search(file.read_text(encoding="utf-8"))
        for file in (REPOSITORY / "plankton_da").rglob("*.py")
    )
