"""Where a figure comes from: machine, versions, commit, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PACKAGES = ("plankton-da", "torch", "timm", "albumentations", "opencv-python-headless", "pillow")


def provenance() -> dict[str, Any]:
    """What a result file says about its making."""
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "commit": commit.stdout.strip() or None,
    }


def footer(document: Mapping[str, Any]) -> str:
    """The last line of a result page: what ``provenance`` found, and what its runs say.

    ``document``: of ``provenance``; perhaps with ``load_average`` (1, 5, 15 minutes) and ``runs``,
    which may have been trained at other commits, on a number of ``threads``.
    """
    parts = [document["machine"]]
    if "load_average" in document:
        parts.append(f"load average {document['load_average'][0]:.1f}")
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    parts += [document["date"], versions, f"commit {document['commit']}"]
    runs = document.get("runs", ())
    if commits := sorted({run["commit"][:7] for run in runs if run.get("commit")}):
        parts.append(f"runs trained at {', '.join(commits)}")
    if threads := sorted({run["threads"] for run in runs if run.get("threads")}):
        parts.append(f"each on {' or '.join(map(str, threads))} thread(s)")
    return "; ".join(parts) + "."


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
