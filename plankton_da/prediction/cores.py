"""How many processor cores there are to work with."""

from __future__ import annotations

import os
import sys

CORES_VARIABLE = "PLANKTON_DA_CORES"
"""for machines that are shared without the operating system knowing, such as Ray's"""


def available_cores() -> int:
    """Processor cores that this process may use; the environment can say how many."""
    said = os.environ.get(CORES_VARIABLE, "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
