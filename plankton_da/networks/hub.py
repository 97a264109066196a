"""The hub that timm's weights come from: its cache on this machine, and whether it answers."""

from __future__ import annotations

import http.client
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import cast

_FILE = "model.safetensors"
_SECONDS = 5.0


class HubError(Exception):
    """Why weights cannot be had from the hub."""


def cached_weights(repository: str) -> Path | None:
    """The weights file of ``repository`` in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, _FILE)
    return Path(found) if isinstance(found, str) else None


def fetch_weights(repository: str) -> Path:
    """Download the weights file of ``repository``, or know within seconds that it is not to be had.

    Raises
    ------
    HubError
        The hub is not to be asked (``HF_HUB_OFFLINE``), does not answer, refuses, or breaks off.
    """
    from huggingface_hub import constants, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        raise HubError(f"HF_HUB_OFFLINE is set and {repository} is not in the cache")
    # The hub's client would try for minutes.
    if why := _no_answer(hf_hub_url(repository, _FILE)):
        raise HubError(f"{constants.ENDPOINT} cannot be reached for {repository}: {why}")
    # Its base classes are the failures of whichever HTTP library the installed client uses.
    failures = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    try:
        return Path(hf_hub_download(repository, _FILE))
    except failures as error:
        words = str(error.__cause__ or error).strip()  # the client wraps what happened
        raise HubError(f"{repository}: {words.splitlines()[0] if words else error!r}") from error


def _no_answer(url: str) -> str | None:
    """Why nobody answers at ``url`` within some seconds, look-up of the name and proxy included."""
    found: list[str | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310  # the hub's address
        try:
            urllib.request.urlopen(request, timeout=_SECONDS).close()  # noqa: S310  # as above
        except urllib.error.HTTPError as error:  # an answer
            error.close()
        except urllib.error.URLError as error:
            # Python's certificates may be older than the hub client's.
            if not isinstance(error.reason, ssl.SSLCertVerificationError):
                found.append(str(error.reason))
                return
        except (OSError, http.client.HTTPException) as error:
            found.append(str(error) or type(error).__name__)
            return
        found.append(None)

    thread = threading.Thread(target=ask, daemon=True)  # a name's look-up has no time limit
    thread.start()
    thread.join(_SECONDS)
    return found[0] if found else "no answer in time"
