"""A process that decodes blocks of rows for another one.

A plain child process, told what to do by JSON lines. Unlike multiprocessing's it never imports the
user's main script (which may have no main guard) and never copies a process that already runs
torch; and it ends by itself when its parent is gone, because its input ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from plankton_da.errors import DataError
from plankton_da.images.decoder import Decoder, decode_block
from plankton_da.images.preprocess import Preprocess

Problems = list[tuple[int, str, str]]


class DecodingProcess:
    """The parent's side. One thread at a time may ask."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        search = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "plankton_da.images.decoding_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
            text=True,
            encoding="ascii",
        )

    def decode_block(self, rows: range, file: Path | None, offset: int) -> Problems:
        """As ``decoder.decode_block``, there.

        Raises:
            OSError: the file cannot be written.
            DataError: the process died.
        """
        decoder = self._decoder
        question = {
            "refs": [decoder.refs[row] for row in rows],
            "roots": [str(decoder.root(row)) for row in rows],
            "instruments": [decoder.instrument(row) for row in rows],
            "preprocess": decoder.preprocess.model_dump(mode="json"),
            "file": None if file is None else str(file),
            "offset": offset,
        }
        answer = json.loads(self._ask(json.dumps(question)) or self._died(rows))
        if "errno" in answer:
            raise OSError(answer["errno"], answer["strerror"])
        return [(rows[place], code, words) for place, code, words in answer["problems"]]

    def _ask(self, line: str) -> str:
        if self._process.stdin is None or self._process.stdout is None:
            return ""
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()
        except BrokenPipeError:
            return ""

    def _died(self, rows: range) -> str:
        refs = self._decoder.refs
        raise DataError(
            f"a process that decodes images died (exit code {self._process.wait()}) between "
            f"{refs[rows[0]]} and {refs[rows[-1]]}. Most likely memory ran out: use fewer workers "
            "(data.workers), or leave those images out"
        )

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()

    def __enter__(self) -> DecodingProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    decoder = Decoder(
        question["refs"],
        [Path(root) for root in question["roots"]],
        question["instruments"],
        Preprocess.model_validate(question["preprocess"]),
    )
    file = None if question["file"] is None else Path(question["file"])
    try:
        return {"problems": decode_block(decoder, range(len(decoder)), file, question["offset"])}
    except OSError as error:
        return {"errno": error.errno, "strerror": error.strerror}


def main() -> None:
    """The child's side: answer each line of stdin with a line on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
