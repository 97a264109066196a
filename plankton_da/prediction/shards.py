"""One of n equal parts of the work, for job arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass

from plankton_da.errors import UsageError

_TEXT = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th block of consecutive images, from block ``number`` on.

    A block is a batch, so that each image meets the same others in its batch as in one run: then
    its scores are the same to the last bit.
    """

    number: int
    """from 1"""
    count: int
    block: int
    """images"""

    def has(self, position: int) -> bool:
        """Whether the image at this place of the whole order, from 0, belongs to the shard."""
        return position // self.block % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str, block: int) -> Shard:
    """The shard that ``"2/8"`` means.

    Raises
    ------
    UsageError
        It means none.
    """
    found = _TEXT.fullmatch(text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(
            f"--shard {text}: give i/n with i from 1 to n, such as 1/8 to 8/8 for eight jobs"
        )
    return Shard(number, count, block)
