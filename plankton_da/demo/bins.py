"""IFCB bins of drawn pictures, as instruments of both generations write them.

Written for tests and benchmarks: the files have the quirks of real ones (a junk byte at each end of
a ``.roi`` of version 1, whose rows end with a comma; start bytes on rows without an image).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_INHIBIT_SECONDS = 0.1
"""per trigger, in which the instrument counts nothing"""
_FORMAT = (
    "trigger#, ADCtime, PMTA, PMTB, PMTC, PMTD, PeakA, PeakB, PeakC, PeakD, TimeOfFlight, "
    "GrabTimeStart, GrabTimeEnd, RoiX, RoiY, RoiWidth, RoiHeight, StartByte, ComparatorOut, "
    "StartPoint, SignalLength, Status, RunTime, InhibitTime"
)


def write_bin(
    folder: Path, pid: str, pictures: Sequence[Picture | None], seconds: float = 10.0
) -> Path:
    """Write the three files of a bin; returns the ``.roi``.

    Parameters
    ----------
    folder
        made where it lacks
    pid
        the bin's name; one that begins with ``IFCB`` makes version 1
    pictures
        gray (height, width), one per trigger; None: a trigger without an image
    seconds
        from one trigger to the next
    """
    old = pid.startswith("IFCB")
    rows, pixels, at = [], [], int(old)
    for number, picture in enumerate(pictures, 1):
        height, width = (0, 0) if picture is None else picture.shape
        row = _old_row if old else _new_row
        rows.append(row(number, number * seconds, width, height, at) + "\n")
        if picture is not None:
            pixels.append(np.ascontiguousarray(picture).tobytes())
            at += picture.size
    junk = b"\0" if old else b""
    path = folder / f"{pid}.roi"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join([junk, *pixels, junk]))
    path.with_suffix(".adc").write_text("".join(rows), newline="")
    header = _old_header() if old else _new_header(len(pictures), seconds)
    path.with_suffix(".hdr").write_text(header, newline="")
    return path


def draw_pictures(count: int, seed: int) -> list[Picture]:
    """Dark blobs on a gray ground, of the sizes that an IFCB cuts out."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        height, width = rng.integers(40, 120), rng.integers(60, 200)
        picture = rng.integers(150, 170, (height, width)).astype(np.uint8)
        top, left, side = rng.integers(2, 20, 3)
        picture[top : top + side, left : left + side] = rng.integers(20, 90)
        pictures.append(picture)
    return pictures


def _old_row(number: int, second: float, width: int, height: int, at: int) -> str:
    x, y = (-11, -11) if width == 0 else (202, 673)
    times = f"{second:.7g},.0607,-.61,-.1776,-3.62,-.2954,{second - 0.05:.7g},{second - 0.01:.7g}"
    return f"{number},{times},{x},{y},{width},{height},{at},-.27557373046875,"


def _new_row(number: int, second: float, width: int, height: int, at: int) -> str:
    x, y = (0, 0) if width == 0 else (820, 943)
    signals = "0.10675728,0.0054,-0.0011,0.0013,1.388,0.1215,0.0102,0.0096,54.347824"
    grabbed = f"{second:.7g},{second + 0.04:.7g}"
    clock = f"{second + 0.03:.7g},{number * _INHIBIT_SECONDS:.7g}"
    return (
        f"{number},{second:.7g},{signals},{grabbed},{x},{y},{width},{height},{at},0,0,0,0,{clock}"
    )


def _old_header() -> str:
    return (
        '"Imaging FlowCytobot Acquisition Software version 1.0; October 2005"\r\n'
        '"Temp Humidity BinarizeThresh PMT1hv(ssc) PMT2hv(chl) BlobSizeThresh"\r\n'
        '" 11.4799732421875"," 32.167437512207"," 30"," .675"," .6"," 10"\r\n'
    )


def _new_header(triggers: int, seconds: float) -> str:
    return (
        "SoftwareVersion: 2.0.0.0\nsampleType: Normal\n"
        f"triggerCount: {triggers}\n"
        f"runTime: {triggers * seconds + 0.03:.7g}\n"
        f"inhibitTime: {triggers * _INHIBIT_SECONDS:.7g}\n"
        f"ADCFileFormat: {_FORMAT}\n"
    )
