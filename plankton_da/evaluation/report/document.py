"""The HTML document around the sections: one file, which loads nothing and runs only our script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from plankton_da.evaluation.report.markup import text

_TEMPLATES = files("plankton_da.evaluation.report") / "templates"


def document(title: str, lead: str, menu: Sequence[tuple[str, str]], main: Sequence[str]) -> str:
    """The page.

    Parameters
    ----------
    title, lead
        What the page is about, and a sentence below it (text, not markup).
    menu
        Identifier and name of the sections.
    main
        The sections (markup).
    """
    style, script = (
        (_TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    links = "".join(f'<a href="#{identifier}">{text(name)}</a>' for identifier, name in menu)
    return Template((_TEMPLATES / "page.html").read_text(encoding="utf-8")).substitute(
        title=text(title),
        lead=text(lead, 600),
        menu=links,
        main="\n".join(main),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _hash(content: str) -> str:
    """As a content security policy names what it lets through."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
