"""Images from a server that behaves like servers do, and from fsspec's memory."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plankton_da.errors import DataError, ImageError
from plankton_da.images import remote
from plankton_da.images.guarded import GuardedDecoders, Wanted
from plankton_da.images.preprocess import Preprocess
from plankton_da.images.refs import open_image, rebase
from plankton_da.manifests.presence import missing_images
from plankton_da.manifests.table import rebase_refs


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (20, 10), value).save(buffer, "PNG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """/<n>.png is a picture of gray value n; other names are what they say."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        name = self.path.rsplit("/", 1)[1]
        statuses = {"gone": 410, "forbidden": 403, "secret": 401, "broken": 500}
        if name == "slow":
            time.sleep(1.5)
        if name == "busy.png" and self.asked[self.path] < 3:
            self.send_error(503)
        elif name in statuses:
            self.send_error(statuses[name])
        elif name == "endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(100_000):
                try:
                    self.wfile.write(bytes(10_000))
                except OSError:  # nobody listens any more
                    return
        elif name in ("empty", "slow"):
            self._send(b"")
        elif name == "a%20%231.png?sig=x%2By":
            self._send(png(7))
        elif name.partition(".")[0] in ("busy", *map(str, range(200))):
            self._send(png(int(name.partition(".")[0].replace("busy", "9"))))
        else:
            self.send_error(404)

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a server on this machine."""
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.daemon_threads = True
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE_S", 0.01)
    monkeypatch.setattr(remote, "_LONGEST_PAUSE_S", 0.04)


@pytest.mark.parametrize("name", ["7.png", "a%20%231.png?sig=x%2By"])
def test_an_address_is_taken_as_browsers_take_it(server: str, name: str) -> None:
    image = open_image(f"{server}/{name}", Path("/no/such"))
    assert image.size == (20, 10)
    assert np.unique(np.asarray(image)).tolist() == [7]
    assert Handler.asked[f"/{name}"] == 1, "one request an image"


@pytest.mark.parametrize(
    ("name", "code", "asked"),
    [
        ("no.png", "missing", 1),
        ("gone", "missing", 1),
        ("forbidden", "permission_denied", 1),
        ("secret", "permission_denied", 1),
        ("broken", "unreadable", 4),
        ("empty", "empty_file", 1),
        ("a.zip!b.png", "unreadable", 0),
    ],
)
@pytest.mark.usefixtures("quick")
def test_each_failure_has_its_code(server: str, name: str, code: str, asked: int) -> None:
    with pytest.raises(ImageError) as caught:
        open_image(f"{server}/codes/{name}", Path())
    assert caught.value.code == code
    assert "127.0.0.1" not in caught.value.words
    assert Handler.asked[f"/codes/{name}"] == asked


@pytest.mark.usefixtures("quick")
def test_a_server_that_is_busy_is_asked_again(server: str) -> None:
    assert np.asarray(open_image(f"{server}/busy.png", Path())).max() == 9
    assert Handler.asked["/busy.png"] == 3


def test_what_takes_too_long_is_a_timeout(server: str) -> None:
    started = time.monotonic()
    with pytest.raises(ImageError, match=r"^timeout: fetching it took over 0\.3 seconds$"):
        remote.fetch(f"{server}/slow", timeout_s=0.3)
    assert time.monotonic() - started < 1.4
    assert Handler.asked["/slow"] == 1


def test_no_more_is_fetched_than_the_bound(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", 3_000_000)
    with pytest.raises(ImageError, match=r"^too_large: more than 3,000,000 bytes"):
        remote.fetch(f"{server}/endless")


@pytest.mark.usefixtures("quick")
def test_nobody_at_home_is_said_in_words() -> None:
    with pytest.raises(ImageError, match=r"^unreadable: it cannot be fetched: "):
        remote.fetch("http://127.0.0.1:9/a.png", timeout_s=5)


def test_a_part_of_a_picture_that_is_elsewhere(server: str) -> None:
    assert open_image(f"{server}/11.png#2,3,5,4", Path()).size == (5, 4)
    assert open_image(f"{server}/11.png#0,0,1,1", Path()).size == (1, 1)


def test_fsspec_places_keep_the_names_of_refs(encode: Callable[..., bytes]) -> None:
    fsspec.filesystem("memory").pipe("/bucket/a#1 %.png", png(33))
    image = open_image("memory://bucket/a%231 %25.png", Path())
    assert np.asarray(image).max() == 33
    with pytest.raises(ImageError, match=r"^missing: "):
        open_image("memory://bucket/b.png", Path())


def test_decoders_fetch_many_at_once_and_one_failure_is_one_row(
    server: str, preprocess: Preprocess
) -> None:
    names = [f"many/{n}.png" for n in range(40)]
    names[5] = "many/no.png"
    wanted = [Wanted(f"{server}/{name}", "shadow") for name in [*names, "many/3.png#1,1,4,4"]]
    with GuardedDecoders(preprocess, Path(), 1, 30.0) as decoders:
        decoded = decoders.decode(wanted)
    codes = [pixels.code if isinstance(pixels, ImageError) else "" for pixels in decoded]
    assert codes == [""] * 5 + ["missing"] + [""] * 35
    assert [int(np.asarray(decoded[n]).max()) for n in (0, 6, 39, 40)] == [0, 6, 39, 3]


def test_a_library_that_is_lacking_is_no_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    remote._file_system.cache_clear()
    with pytest.raises(DataError, match=r"pip install 'plankton-da\[s3\]'"):
        remote.fetch("s3://bucket/a.png")


def test_manifests_keep_addresses_and_ask_nobody(tmp_path: Path) -> None:
    images = pd.Series(["https://no.such.host/a.png", "s3://b/c#1,1,2,2", "here.png"])
    assert missing_images(images, tmp_path).tolist() == [False, False, True]
    moved = rebase_refs(images, tmp_path / "a", tmp_path / "b")
    assert moved.tolist() == [*images[:2], "../a/here.png"]
    assert rebase(images[0], tmp_path, tmp_path / "b") == (images[0], "")
