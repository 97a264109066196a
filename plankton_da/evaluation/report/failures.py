"""Images that could not be classified, by reason."""

from __future__ import annotations

from plankton_da.evaluation.report.markup import number, section, share, text
from plankton_da.evaluation.report.survey import Survey


def failures_section(found: Survey) -> str:
    """Each error code with its count and the first images; '' where nothing failed.

    The images are not opened: what broke a decoder once may do so again.
    """
    if not found.failed:
        return ""
    codes = found.errors()
    parts = [_code(found, code, n, index == 0) for index, (code, n) in enumerate(codes.items())]
    return section("failures", "Failures", *parts)


def _code(found: Survey, code: str, n: int, opened: bool) -> str:
    samples = found.failed_samples(code)
    items = "".join(
        f"<li><b>{text(sample.object_id)}</b> <span>{text(sample.error, 300)}</span></li>"
        for sample in samples
    )
    more = f"<li>and {number(n - len(samples))} more</li>" if n > len(samples) else ""
    unfolded = " open" if opened else ""
    return (
        f'<details class="failure"{unfolded}><summary><h3>{text(code)}</h3>'
        f"<span>{number(n)} images, {share(n, found.images)}</span></summary>"
        f'<ul class="failed">{items}{more}</ul></details>'
    )
