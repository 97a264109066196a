"""What the archive formats have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol

from plankton_da.errors import ImageError

MAX_MEMBER_BYTES = 512 * 2**20
"""uncompressed size of one image: 100 megapixel in RGB, and a margin"""


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    """as Python's file functions take it: bytes that are not UTF-8 as surrogates"""
    size: int
    """bytes, unpacked"""
    stamp: int
    """changes with the content: a CRC, or the modification time in ns"""


class Archive(Protocol):
    """An opened archive; several threads may read."""

    damage: str
    """what is wrong with the archive as a whole, '' where nothing is"""

    def members(self) -> Iterator[Member]:
        """Every file in it that can be found."""

    def read(self, name: str) -> bytes:
        """A member's bytes (``KeyError`` where there is none)."""

    def sizes(self, name: str) -> tuple[int, int]:
        """Bytes of a member, and the bytes that it takes in the archive."""

    def unpack(self, name: str, target: IO[bytes]) -> None:
        """Copy a member's bytes."""

    def close(self) -> None:
        """Close the file."""


def check_size(size: int) -> None:
    """Refuse a member of so many bytes, if that is too many.

    Raises:
        ImageError: too_large.
    """
    if size > MAX_MEMBER_BYTES:
        raise ImageError(
            "too_large", f"{size:,} bytes unpacked; at most {MAX_MEMBER_BYTES:,} are read"
        )
