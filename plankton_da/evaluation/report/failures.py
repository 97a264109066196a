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
    parts = [_code(found, code, n) for code, n in found.errors().items()]
    return section("failures", "Failures", *parts)


def _code(found: Survey, code: str, n: int) -> str:
    samples = found.failed_samples(code)
    items = "".join(
        f"<li><b>{text(sample.object_id)}</b> <span>{text(sample.error, 300)}</span></li>"
        for sample in samples
    )
    more = f"<li>and {number(n - len(samples))} more</li>" if n > len(samples) else ""
    return (
        f'<details class="failure"><summary><h3>{text(code)}</h3><span>{number(n)} images, '
        f'{share(n, found.images)}</span></summary><ul class="failed">{items}{more}</ul></details>'
    )
