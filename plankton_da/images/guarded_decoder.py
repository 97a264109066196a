"""One child process that decodes images, and the next one when it dies.

Only the image that it died of is given up, after a second try; so is, without one, an image that
takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import DataError, ImageError
from plankton_da.images import archives, remote
from plankton_da.images.guarded_process import HEADER, IN_FILE, PIXELS, PROBLEM, READY
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import address_of, file_of

Decoded: TypeAlias = NDArray[np.uint8] | ImageError

_GROUP_BYTES = 32 * 2**20
"""of archive members, that are sent at once"""


class Wanted(NamedTuple):
    """An image to be decoded."""

    ref: str
    instrument: str


class _DiedError(Exception):
    """The process ended before it answered."""


class GuardedDecoder:
    """One child process and its successors; one thread at a time asks."""

    def __init__(self, preprocess: Preprocess, root: Path, image_timeout: float) -> None:
        self.waiting = False
        self.progress = 0
        """answers so far"""
        self._shape = (preprocess.image_size, preprocess.image_size, preprocess.channels)
        self._root = root
        self._timeout = image_timeout
        self._hello = json.dumps(
            {"preprocess": preprocess.model_dump(mode="json"), "root": str(root)}
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._slow_at = -1
        self._closed = False

    def start(self) -> None:
        """Start the process, without waiting for it."""
        search = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "plankton_da.images.guarded_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
        )
        self._ready = False

    def close(self) -> None:
        """Kill the process; whoever waits for it gets ``CancelledError``."""
        self._closed = True
        if self._process is not None:
            self._process.kill()

    def kill_as_slow(self, progress: int) -> None:
        """End the process, because it does not come to answer number ``progress``."""
        self._slow_at = progress
        if self._process is not None:
            self._process.kill()

    def decode(self, images: Sequence[Wanted]) -> list[Decoded]:
        """As ``GuardedDecoders.decode``."""
        found: list[Decoded] = []
        for group in self._groups(images):
            sent = [
                (image, content) for image, content in group if not isinstance(content, ImageError)
            ]
            answers = iter(self._decode_group(sent))
            found += [
                content if isinstance(content, ImageError) else next(answers)
                for _, content in group
            ]
        return found

    def _groups(
        self, images: Sequence[Wanted]
    ) -> Iterator[list[tuple[Wanted, bytes | ImageError | None]]]:
        """The images with the bytes of those in archives, which are opened once, here.

        So are those that are elsewhere: many are fetched at once.
        """
        fetched = self._fetched([image.ref for image in images])
        group: list[tuple[Wanted, bytes | ImageError | None]] = []
        size = 0
        for image in images:
            ref = image.ref
            content = fetched[ref] if ref in fetched else self._content(ref)
            group.append((image, content))
            size += len(content) if isinstance(content, bytes) else 0
            if size > _GROUP_BYTES:
                yield group
                group, size = [], 0
        yield group

    def _fetched(self, refs: Sequence[str]) -> dict[str, bytes | ImageError]:
        found: dict[str, bytes | ImageError] = {}
        wanted: dict[str, str] = {}
        for ref in filter(remote.is_remote, refs):
            if "#" in ref:
                continue  # a part of a picture is the process's to cut out
            try:
                wanted[ref] = address_of(ref)
            except ImageError as error:
                found[ref] = error
        contents = remote.fetch_all(list(wanted.values()), self._timeout)
        return found | dict(zip(wanted, contents, strict=True))

    def _content(self, ref: str) -> bytes | ImageError | None:
        if "!" not in ref:
            return None
        place = file_of(ref, self._root)
        if not place.members or place.part:
            return None
        try:
            return archives.read_member(place.path, place.members)
        except ImageError as error:
            return error
        except (OSError, ValueError):
            return None  # the process will find out why it cannot be read

    def _decode_group(self, group: Sequence[tuple[Wanted, bytes | None]]) -> list[Decoded]:
        answers: list[Decoded] = []
        died_at = -1
        while len(answers) < len(group):
            try:
                self._send(group[len(answers) :])
                while len(answers) < len(group):
                    answers.append(self._receive())
                    self.progress += 1
            except _DiedError:
                code = self.end()
                again = died_at == len(answers)
                died_at = len(answers)
                if self._slow_at == self.progress:
                    words = f"decoding it took over {self._timeout:g} seconds"
                    answers.append(ImageError("timeout", words))
                elif again:
                    answers.append(_death(code))
                self.progress += 1
            finally:
                self.waiting = False
        return answers

    def _send(self, group: Sequence[tuple[Wanted, bytes | None]]) -> None:
        if self._closed:
            raise CancelledError
        if self._process is None:
            self.start()
        if not self._ready:
            self._greet()
        sizes = [IN_FILE if content is None else len(content) for _, content in group]
        images = [[*image, size] for (image, _), size in zip(group, sizes, strict=True)]
        self.waiting = True
        self._write(json.dumps(images).encode() + b"\n")
        for _, content in group:
            if content is not None:
                self._write(content)
        self._write(b"")

    def _greet(self) -> None:
        try:
            self._write(self._hello.encode() + b"\n")
            self._write(b"")
            if self._read(HEADER.size) != HEADER.pack(READY, 0):
                raise _DiedError
        except _DiedError:
            code = self.end()
            if self._closed:
                raise CancelledError from None
            raise DataError(
                f"the process that decodes images does not start ({_how(code)}); what it said "
                "stands above. Most likely memory is short: the same command continues"
            ) from None
        self._ready = True

    def _write(self, data: bytes) -> None:
        """Write, or, of nothing, see to it that what was written arrives."""
        stdin = self._process and self._process.stdin
        if not stdin:
            raise _DiedError
        try:
            stdin.write(data) if data else stdin.flush()
        except OSError as error:  # BrokenPipeError, or on Windows EINVAL
            raise _DiedError from error

    def _receive(self) -> Decoded:
        kind, length = HEADER.unpack(self._read(HEADER.size))
        content = self._read(length)
        if kind == PROBLEM:
            return ImageError(*json.loads(content))
        if kind != PIXELS:
            raise _DiedError
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def _read(self, length: int) -> bytes:
        stdout = self._process and self._process.stdout
        data = stdout.read(length) if stdout else b""
        if len(data) < length:
            raise _DiedError
        return data

    def end(self) -> int:
        """Let go of the process; its exit code."""
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return 0
        process.kill()  # one that answers nonsense lives
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return process.wait()


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _death(code: int) -> ImageError:
    if code == -getattr(signal, "SIGKILL", 9):
        words = "the process that decodes it was killed, twice, as happens when memory runs out"
        return ImageError("too_large", words)
    return ImageError("unreadable", f"the decoder crashes on it ({_how(code)}, twice)")
