"""The names that one side gives to what it sees: labels of a manifest, or a list of classes."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from plankton_da.errors import ManifestError
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.problems import Problem, Problems
from plankton_da.manifests.reading import SUFFIXES, read_table

NAME_COLUMNS = ("label", "class")
"""the first that a table has holds its names"""
LINEAGE_COLUMNS = frozenset({"objectannotationhierarchy", "annotationhierarchy", "hierarchy"})
APHIA_COLUMNS = frozenset({"aphiaid", "wormsaphiaid", "wormsid", "scientificnameid"})
"""column names, folded"""

_APHIA = re.compile(r"^(?:urn:lsid:marinespecies\.org:taxname:)?(\d+)(?:\.0)?$", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?<!\d)[\W_]+|[\W_]+(?!\d)")  # but not in 1_1, which is not 11


@dataclass(frozen=True)
class Name:
    """One name, and what its source knows of it.

    ``lineage`` is folded, from the root to the name itself; a name that stands alone has one part.
    ``aphia_id`` is '' where none or several are given. ``rows`` counts the images.
    """

    text: str
    rows: int = 0
    lineage: tuple[str, ...] = ()
    aphia_id: str = ""

    @property
    def own(self) -> str:
        """The name without its ancestors: ``egg`` of ``living>Copepoda>egg``, ``egg<Copepoda``."""
        plain = self.text.rpartition(">")[2] if ">" in self.text else self.text.partition("<")[0]
        return plain.strip() or self.text


def fold(text: str) -> str:
    """A name without case, accents and separators: ``Détritus_fin`` is ``detritusfin``."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _SEPARATOR.sub("", plain.casefold()) or text


def lineage_of(text: str, hierarchy: str = "") -> tuple[str, ...]:
    """Ancestors and name, folded, as EcoTaxa writes them: ``Biota>Copepoda>egg``, ``egg<Copepoda``.

    ``hierarchy`` is the full one, where another column gives it.
    """
    full = hierarchy or text
    parts = full.split(">") if ">" in full else full.split("<")[::-1]
    return tuple(fold(part) for part in parts if part.strip())


def aphia_id(text: str) -> str:
    """The digits of a WoRMS AphiaID, given as a number or as an LSID; '' where it is none."""
    found = _APHIA.match(text.strip())
    return found[1] if found else ""


def read_names(path: Path) -> list[Name]:
    """The names of a manifest, of a list or of a bundle, sorted.

    Parameters
    ----------
    path
        .csv or .parquet with a column ``label`` or ``class`` (an EcoTaxa hierarchy and WoRMS
        AphiaIDs beside it are used); .txt with one name per line; bundle.json, or its folder

    Raises
    ------
    ManifestError
        The file cannot be read, or has no names.
    """
    if path.is_dir():
        path = path / "bundle.json"
    if path.suffix.lower() in SUFFIXES:
        return _of_table(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: no such file; names come from a .csv or .parquet manifest, a .txt with one "
            "name per line, or a bundle"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    texts = _of_bundle(path, text) if path.suffix.lower() == ".json" else text.splitlines()
    found = sorted({text.strip() for text in texts} - {""})
    if not found:
        raise ManifestError(f"{path}: has no names; put one on each line")
    return [Name(text, 0, lineage_of(text)) for text in found]


def _of_bundle(path: Path, text: str) -> list[str]:
    try:
        classes = json.loads(text)["classes"]
    except (ValueError, KeyError, TypeError):
        classes = None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ManifestError(f'{path}: expected the bundle.json of a bundle, with "classes": [...]')
    return classes


def _of_table(path: Path) -> list[Name]:
    raw = read_table(path)
    raw.problems.raise_if_any()
    table = raw.table
    column = next((name for name in NAME_COLUMNS if name in table.columns), None)
    if column is None:
        words = f"names stand in a column label or class; found: {', '.join(table.columns)}"
        _fail(path, "missing_column", words)
    named = table[table[column].str.strip() != ""]
    if named.empty:
        words = "every value is empty, so that there is no name to map"
        _fail(path, "empty", words, column)
    hierarchies = _one_per_name(named, str(column), LINEAGE_COLUMNS)
    aphia_ids = _one_per_name(named, str(column), APHIA_COLUMNS)
    rows = named[column].value_counts()
    names = []
    for text in sorted(rows.index.tolist()):
        lineage = lineage_of(text, hierarchies.get(text, ""))
        names.append(Name(text, int(rows[text]), lineage, aphia_id(aphia_ids.get(text, ""))))
    return names


def _one_per_name(table: pd.DataFrame, column: str, wanted: frozenset[str]) -> dict[str, str]:
    """Name -> its value in the first column of such a title; names with several are left out."""
    source = next((name for name in table.columns if fold(name) in wanted), None)
    if source is None:
        return {}
    values = table[source].astype(TEXT).str.strip()
    pairs = pd.DataFrame({"name": table[column], "value": values})[values != ""].drop_duplicates()
    single = pairs[~pairs["name"].duplicated(keep=False)]
    return dict(zip(single["name"].tolist(), single["value"].tolist(), strict=True))


def _fail(path: Path, code: str, words: str, column: str | None = None) -> None:
    problems = Problems()
    problems.add([Problem(str(path), None, column, code, words)])
    problems.raise_if_any()
