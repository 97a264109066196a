"""Names in MLflow's alphabet."""

from __future__ import annotations

import hashlib
import re

MAX_KEY_LENGTH = 250  # MLflow's limit, in characters


def metric_key(split: str, instrument: str, metric: str, oracle: bool = False) -> str:
    """``<split>/<instrument>/<metric>`` in MLflow's alphabet, ``oracle/`` before it if so.

    A slash in ``metric`` (``recall/copepod``) makes one more level, elsewhere it becomes ``_``.
    """
    levels = [
        *(["oracle"] if oracle else []),
        split.replace("/", "_"),
        instrument.replace("/", "_"),
    ]
    return clean_key("/".join([*levels, metric]))


def clean_key(key: str) -> str:
    """``key`` with ``_`` for every character that MLflow refuses in a name, at most 250 long."""
    levels = [re.sub(r"[^\w.\- ]", "_", level) for level in key.split("/")]
    levels = ["_" if level in ("", ".", "..") else level for level in levels]
    cleaned = "/".join(levels)
    if len(cleaned) <= MAX_KEY_LENGTH:
        return cleaned
    mark = hashlib.sha256(key.encode()).hexdigest()[:8]
    return f"{cleaned[: MAX_KEY_LENGTH - 9].rstrip('/')}-{mark}"
