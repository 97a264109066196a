"""``plankton-da report``: predictions, or a bundle, as one page that opens from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plankton_da.errors import UsageError, listed
from plankton_da.evaluation.report.agreement import Agreement
from plankton_da.evaluation.report.bundle_page import bundle_page
from plankton_da.evaluation.report.document import document
from plankton_da.evaluation.report.failures import failures_section
from plankton_da.evaluation.report.gallery import MOST_CLASSES, Gallery, make_gallery
from plankton_da.evaluation.report.markup import (
    bar,
    cards,
    histogram,
    number,
    score,
    section,
    share,
    table,
    text,
)
from plankton_da.evaluation.report.provenance import made_by, provenance
from plankton_da.evaluation.report.survey import Survey, survey
from plankton_da.manifests.problems import printable
from plankton_da.manifests.table import refuse_existing
from plankton_da.prediction.export.reading import read_run
from plankton_da.prediction.files import replace_file
from plankton_da.prediction.predictions import UNCLASSIFIED
from plankton_da.prediction.result import SUFFIXES

_MOST_LABELS = 1000  # rows of the table of classes
_FILTER = (
    '<p class="filter"><label>Find a class <input type="search" id="filter" autocomplete="off">'
    '</label> <span id="found" role="status"></span></p>'
)

_UNFOLD = '<p><button type="button" id="unfold">Unfold all</button></p>'


@dataclass(frozen=True)
class ReportResult:
    """What was written, and what could not be shown."""

    out: Path
    images: int
    """rows of the predictions; 0 for a bundle"""
    pictures: int
    lost: dict[str, str]
    """ref -> why it cannot be opened now, though it could when it was classified"""

    def to_json(self) -> dict[str, Any]:
        """The document of ``report --json``."""
        return {
            "out": str(self.out),
            "images": self.images,
            "pictures": self.pictures,
            "lost": self.lost,
        }

    def remarks(self) -> list[str]:
        """Lines about pictures that are not on the page."""
        if not self.lost:
            return []
        lines = [printable(f"{ref}: {why}") for ref, why in self.lost.items()]
        return [f"{len(self.lost)} pictures cannot be opened now; were they moved?", listed(lines)]


def is_predictions(source: str) -> bool:
    """Whether what is to be reported is a predictions file, by its suffix."""
    return Path(source).suffix.lower() in SUFFIXES


def default_out(source: str) -> Path:
    """``P.html`` beside ``P.csv``; ``report.html`` in the working directory for a bundle."""
    return Path(source).with_suffix(".html") if is_predictions(source) else Path("report.html")


def write_report(
    source: Path, out: Path, *, overwrite: bool = False, progress: bool = False
) -> ReportResult:
    """Write the page about a predictions file, a training run's folder or a bundle.

    Raises
    ------
    UsageError
        ``out`` does not end in ``.html``.
    OutputError
        ``out`` exists and ``overwrite`` is False, or it cannot be written.
    ManifestError
        The predictions file has problems; all are listed with their lines.
    DataError
        It has no rows.
    BundleError
        ``source`` is no bundle.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out}: give a name that ends in .html")
    refuse_existing(out, overwrite)
    if not is_predictions(str(source)):
        _write(out, bundle_page(source))
        return ReportResult(out, images=0, pictures=0, lost={})
    run = read_run(source)
    found = survey(source)
    gallery = make_gallery(found, source.absolute().parent, progress)
    _write(out, _predictions_page(source, run, found, gallery))
    lost = {ref: str(error) for ref, error in gallery.lost.items()}
    return ReportResult(out, found.images, len(gallery.thumbnails.pictures), lost)


def _write(out: Path, page: str) -> None:
    replace_file(out, page.encode("utf-8", "backslashreplace"))


def _predictions_page(path: Path, run: Mapping[str, Any], found: Survey, gallery: Gallery) -> str:
    agreement = Agreement.of(found.rows)
    sections = {
        ("overview", "Overview"): section("overview", "Overview", _figures(found)),
        ("classes", "Classes"): _classes(found, agreement),
        ("truth", "True labels"): agreement.section() if agreement.n else "",
        ("instruments", "Instruments"): _instruments(found),
        ("failures", "Failures"): failures_section(found),
        ("pictures", "Pictures"): _pictures(found, gallery),
        ("run", "Origin"): provenance(path, run),
    }
    menu = [place for place, content in sections.items() if content]
    lead = f"{number(found.images)} images{made_by(run)}"
    return document(path.name, lead, menu, [part for part in sections.values() if part])


def _figures(found: Survey) -> str:
    labels = found.labels()
    abstained = labels.get(UNCLASSIFIED, 0)
    classes = len(labels) - (UNCLASSIFIED in labels)
    good = found.images - found.failed
    codes = ", ".join(f"{code} {number(n)}" for code, n in found.errors().items())
    return (
        cards(
            [
                (number(found.images), "images", ""),
                (number(good - abstained), "classified", f"{classes} classes"),
                (number(abstained), UNCLASSIFIED, share(abstained, found.images)),
                (number(found.failed), "failed", codes or "none"),
            ]
        )
        + f'<figure class="scores wide">{histogram(found.histogram(), "All classes")}'
        + "<figcaption><span>0</span><span>score of the best class</span><span>1</span>"
        + "</figcaption></figure>"
    )


def _classes(found: Survey, agreement: Agreement) -> str:
    labels = found.labels()
    if not labels:
        return ""
    most = max(labels.values(), default=0)
    head = ["class", "scores", "images", "share"]
    if agreement.n:
        head += ["true", "recall", "precision"]
    rows = []
    for index, (label, n) in enumerate(list(labels.items())[:_MOST_LABELS]):
        name = text(label)
        linked = f'<a href="#class-{index}">{name}</a>' if index < MOST_CLASSES else name
        row = [
            linked,
            histogram(found.histogram(label), label),
            number(n) + bar(n, most),
            share(n, found.images),
        ]
        if agreement.n:
            known = label != UNCLASSIFIED
            row += [
                number(agreement.true.get(label, 0)) if known else "–",
                score(agreement.recall(label) if known else None),
                score(agreement.precision(label) if known else None),
            ]
        rows.append(row)
    more = len(labels) - len(rows)
    note = f'<p class="note">and {number(more)} rarer labels</p>' if more else ""
    body = table("Classes", head, rows, numbers=len(head) - 2, sortable=True)
    return section("classes", "Classes", _FILTER, body, note)


def _instruments(found: Survey) -> str:
    names = sorted({key[0] for key in (*found.rows, *found.failures)})
    if len(names) < 2:
        return ""
    rows = []
    for name in names[:_MOST_LABELS]:
        own = {key: n for key, n in found.rows.items() if key[0] == name}
        failed = sum(n for (instrument, _), n in found.failures.items() if instrument == name)
        good = sum(own.values())
        abstained = sum(n for (_, label, _), n in own.items() if label == UNCLASSIFIED)
        agreement = Agreement.of(own)
        accuracy = agreement.right / agreement.n if agreement.n else None
        recall = agreement.macro_recall if agreement.n else None
        counts = (good + failed, abstained, failed, agreement.n)
        rows.append([text(name), *map(number, counts), score(accuracy), score(recall)])
    head = ["instrument", "images", UNCLASSIFIED, "failed", "with true label"]
    head += ["accuracy", "macro recall"]
    body = table("Instruments", head, rows, numbers=6, sortable=True)
    return section("instruments", "Instruments", body)


def _pictures(found: Survey, gallery: Gallery) -> str:
    labels = list(gallery.strips)
    if not labels:
        return ""
    more = len(found.labels()) - len(labels)
    notes = [f"Pictures of the {len(labels)} most frequent classes."] * (more > 0)
    if gallery.lost:
        notes.append(f"{len(gallery.lost)} pictures cannot be opened now.")
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    parts = [
        gallery.section_of(index, label, found, opened=index == 0)
        for index, label in enumerate(labels)
    ]
    return section("pictures", "Pictures", note, _UNFOLD, *parts)
