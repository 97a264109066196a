"""The end of a run: is the result still ours and still true, and if not, writing it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from plankton_da.errors import OutputError
from plankton_da.prediction.files import explained, replace_file, sha256_of
from plankton_da.prediction.inputs import Inputs
from plankton_da.prediction.ledger import Ledger
from plankton_da.prediction.order import Order
from plankton_da.prediction.result import Tally, write_result

log = logging.getLogger(__name__)

_FINISHED = "finished.json"
_INPUTS = "inputs.json"


def run_file_of(out: Path) -> Path:
    """Where it stands how ``out`` came to be: ``P.run.json`` for ``P.csv``."""
    return out.with_suffix(".run.json")


def keep_others_run_file(out: Path, *, overwrite: bool) -> None:
    """Refuse a result beside one of the same stem, for both would have one ``run.json``.

    ``overwrite`` gives up the ``run.json`` of a file that is no longer there.

    Raises
    ------
    OutputError
        The ``run.json`` tells of another file than ``out``.
    """
    path = run_file_of(out)
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return  # tells of nothing
    other = told.get("result") if isinstance(told, dict) else None
    if not isinstance(other, str) or other == out.name or Path(other).stem != out.stem:
        return  # of another stem: it was renamed together with its result
    if (out.parent / other).exists():
        raise OutputError(
            f"{path} says how {other} came to be, and {out.name} would overwrite it with its own; "
            f"give an --out of another name than {out.stem}, or of another folder"
        )
    if not overwrite:
        raise OutputError(
            f"{path} says how {other} came to be, which is no longer beside it; move it to where "
            f"{other} is, give another --out, or --overwrite if nobody needs it"
        )


def claim(out: Path, ledger: Ledger, inputs: Inputs, *, overwrite: bool) -> None:
    """Make sure that ``out`` may be written for these inputs.

    Raises
    ------
    OutputError
        ``out`` is there and this ledger did not write it (unless ``overwrite``), it holds rows
        of an INPUT that is not named now, or its ``run.json`` would take the place of another's.
    """
    keep_others_run_file(out, overwrite=overwrite)
    there = _sha256(out)
    note = ledger.read_note(_FINISHED) or {}
    if overwrite:
        # remembered, so that the same command without --overwrite can go on with it
        ledger.write_note(_FINISHED, {"sha256": None, "earlier": there})
    elif there is not None and there not in (note.get("sha256"), note.get("earlier")):
        found = "was changed since it was written" if note else "is there and not from this command"
        raise OutputError(
            f"{out} {found}; move it away, give another --out, or --overwrite to begin anew"
        )
    earlier = ledger.read_note(_INPUTS) or []
    left_out = set(earlier) - set(inputs.names)
    if left_out and len(ledger):
        raise OutputError(
            f"{out} holds rows of INPUTs that are not named now: "
            f"{', '.join(sorted(left_out)[:20])}; name them too, give another --out, or "
            f"--overwrite to begin anew"
        )
    if earlier != list(inputs.names):
        ledger.write_note(_INPUTS, list(inputs.names))


def finish(
    out: Path, ledger: Ledger, order: Order, schema: pa.Schema, about: Mapping[str, Any]
) -> Tally:
    """Write the result and its ``run.json``, unless the result there is the same already.

    ``schema`` is that of the rows, without carried columns.

    Raises
    ------
    OutputError
        It cannot be written; an older result is untouched.
    """
    note = ledger.read_note(_FINISHED) or {}
    there = _sha256(out)
    if there is not None and there == note.get("sha256") and note["digest"] == order.digest():
        return Tally(note["images"], Counter(note["labels"]), Counter(note["errors"]))
    gone = note.get("images", 0) - order.finished_before - order.tried_again
    if gone > 0:
        log.info("%d rows of the earlier result are of images that are gone or changed", gone)

    def before(sha256: str, tally: Tally) -> None:
        keep_others_run_file(out, overwrite=True)  # one may have appeared since ``claim``
        counts = {
            "images": tally.images,
            "labels": dict(tally.labels.most_common()),
            "errors": dict(tally.errors.most_common()),
        }
        content = {**about, "sha256": sha256, **counts, "runs": ledger.made}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        replace_file(run_file_of(out), text.encode("utf-8", "backslashreplace"))
        # both are ours, whichever is there if the process ends between the two replacements
        written = {"sha256": sha256, "earlier": there, "digest": order.digest(), **counts}
        ledger.write_note(_FINISHED, written)

    return write_result(out, order.tables(schema), before)


def _sha256(path: Path) -> str | None:
    if path.is_dir():
        raise OutputError(f"--out {path} is a folder; name a file in it, such as {path}/P.csv")
    if not path.exists():
        return None
    with explained(path):
        return sha256_of(path)
