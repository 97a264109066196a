"""The process in which images are decoded that may hang or kill it.

It is told by a JSON line on stdin which images to decode, followed by the bytes of those that come
from archives, and answers with one frame per image, in order: a header, then pixels or a problem.
It ends by itself when its parent is gone, because its input ends.
"""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import IO, Any

from plankton_da.errors import ImageError
from plankton_da.images.decoding import decode
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import open_image

HEADER = struct.Struct("<cQ")
"""kind, and bytes that follow"""
READY, PIXELS, PROBLEM = b"R", b"P", b"E"
IN_FILE = -1
"""in place of a length: the image is to be read from its file"""


def _frame(
    preprocess: Preprocess, root: Path, ref: str, instrument: str, data: bytes | None
) -> tuple[bytes, Any]:
    try:
        image = open_image(ref, root) if data is None else decode(io.BytesIO(data), len(data))
        return PIXELS, preprocess(image, instrument).data
    except ImageError as error:
        return PROBLEM, json.dumps([error.code, error.words]).encode()
    except MemoryError:
        return PROBLEM, json.dumps(["too_large", "not enough memory to decode it"]).encode()


def _answer(source: IO[bytes], target: IO[bytes]) -> None:
    start = json.loads(source.readline())
    preprocess = Preprocess.model_validate(start["preprocess"])
    root = Path(start["root"])
    target.write(HEADER.pack(READY, 0))
    target.flush()
    for line in source:
        images = json.loads(line)
        contents = [None if size == IN_FILE else source.read(size) for _, _, size in images]
        for (ref, instrument, _), data in zip(images, contents, strict=True):
            kind, content = _frame(preprocess, root, ref, instrument, data)
            target.write(HEADER.pack(kind, len(content) if kind == PROBLEM else content.nbytes))
            target.write(content)
            target.flush()


def main() -> None:
    """The child's side."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not answer
    try:
        _answer(sys.stdin.buffer, answers)
        answers.close()
    except BrokenPipeError:  # the parent is gone
        os._exit(0)


if __name__ == "__main__":
    main()
