"""Images that are elsewhere: refs such as ``https://host/a.jpg`` or ``s3://bucket/a.jpg``.

Nothing is fetched unless such a ref is opened. What is fetched is bounded in size and in time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from plankton_da.errors import DataError, ImageError

EXTRAS: dict[str, str] = {
    "http": "http",
    "https": "http",
    "s3": "s3",
    "gs": "gs",
    "memory": "http",
}
"""scheme -> the extra of this package that reads it; ``memory`` is fsspec's own, of this process"""
REMOTE = f"^(?:{'|'.join(EXTRAS)})://"
"""a regular expression that matches remote refs"""
MAX_BYTES = 128 * 2**20
"""some dozens may be in memory"""
TIMEOUT_S = 60.0
_AT_ONCE = 32
"""a request mostly waits: for images of 10 kB far more of them than cores"""
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 2.0
"""before another attempt; each time twice as long"""
_CHUNK = 2**20
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_FORBIDDEN = frozenset({401, 403, 407})
_GONE = frozenset({404, 410})


def is_remote(ref: str) -> bool:
    """Whether a ref names an image that is not in the file system of this machine."""
    scheme, mark, _ = ref.partition("://")
    return bool(mark) and scheme in EXTRAS


def fetch(address: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """The bytes at an address.

    Raises:
        ImageError: missing, permission_denied, timeout, too_large, unreadable.
        DataError: the library for this kind of place is not installed.
    """
    (content,) = fetch_all([address], timeout_s)
    if isinstance(content, ImageError):
        raise content
    return content


def fetch_all(refs: Sequence[str], timeout_s: float = TIMEOUT_S) -> list[bytes | ImageError]:
    """``fetch`` of many, some dozens at once.

    Raises:
        DataError: the library for this kind of place is not installed.
    """
    for scheme in {ref.partition("://")[0] for ref in refs}:
        _file_system(scheme, timeout_s)  # so that a library that is lacking is no image's fault
    return list(_pool().map(lambda ref: _fetch(ref, timeout_s), refs))


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch")


def _fetch(ref: str, timeout_s: float) -> bytes | ImageError:
    deadline = time.monotonic() + timeout_s
    pause = _PAUSE_S
    while True:
        try:
            return _read(ref, timeout_s, deadline)
        except ImageError as error:
            return error
        except Exception as error:  # noqa: BLE001 (each kind of place has exceptions of its own)
            late = time.monotonic() + pause > deadline
            if late or pause > _LONGEST_PAUSE_S or not _may_pass(error):
                return _explained(error, timeout_s)
            time.sleep(pause)
            pause *= 2


def _read(ref: str, timeout_s: float, deadline: float) -> bytes:
    scheme = ref.partition("://")[0]
    # `block_size=0`: one request, read as a stream; `size`: no other request to ask for it
    options = {"block_size": 0, "size": 1} if scheme.startswith("http") else {}
    parts: list[bytes] = []
    size = 0
    with _file_system(scheme, timeout_s).open(ref, "rb", **options) as file:
        while part := file.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise ImageError("too_large", f"more than {MAX_BYTES:,} bytes are not fetched")
            if time.monotonic() > deadline:
                raise TimeoutError
    return b"".join(parts)


@lru_cache(maxsize=8)
def _file_system(scheme: str, timeout_s: float) -> Any:
    """The library for places with this scheme, with its connections."""
    try:
        import fsspec

        options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
        if scheme.startswith("http"):
            import aiohttp

            # proxies as the environment says
            options["client_kwargs"] = {
                "timeout": aiohttp.ClientTimeout(total=timeout_s),
                "trust_env": True,
            }
        return fsspec.filesystem(scheme, **options)
    except ImportError as error:
        raise DataError(
            f"images at {scheme}:// need more libraries ({error}): "
            f"pip install 'plankton-da[{EXTRAS[scheme]}]'"
        ) from error


def _status(error: Exception) -> int:
    """Of the server's answer; 0 where there was none."""
    status = getattr(error, "status", 0)
    return status if isinstance(status, int) else 0


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or "Timeout" in type(error).__name__


def _may_pass(error: Exception) -> bool:
    if isinstance(error, (FileNotFoundError, PermissionError)) or _is_timeout(error):
        return False
    return not _status(error) or _status(error) in _PASSING


def _explained(error: Exception, timeout_s: float) -> ImageError:
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status in _GONE:
        return ImageError("missing", "there is nothing at this address")
    if isinstance(error, PermissionError) or status in _FORBIDDEN:
        return ImageError("permission_denied", "the server does not give it without a permission")
    if _is_timeout(error):
        return ImageError("timeout", f"fetching it took over {timeout_s:g} seconds")
    if status:
        return ImageError(
            "unreadable", f"the server answers {status} {getattr(error, 'message', '')}"
        )
    return ImageError("unreadable", f"it cannot be fetched: {str(error) or type(error).__name__}")
