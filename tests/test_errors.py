"""What errors say beside their message."""

from __future__ import annotations

import pytest

from plankton_da.errors import DataError, suggest
from plankton_da.images.preprocess import InstrumentLook, Preprocess


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ISIS", "; did you mean ISIIS?"),
        ("isiis", "; did you mean ISIIS?"),
        ("uvp6", "; did you mean UVP6 or UVP5?"),
        ("FlowCam", ""),
    ],
)
def test_the_nearest_names_whatever_their_case(name: str, words: str) -> None:
    assert suggest(name, ["ISIIS", "UVP5", "UVP6"]) == words


def test_an_unknown_instrument_shows_the_nearest() -> None:
    preprocess = Preprocess(image_size=32, instruments={"ISIIS": InstrumentLook()})
    with pytest.raises(DataError, match=r"knows ISIIS; did you mean ISIIS\? Name the one"):
        preprocess.look("Isis")
    with pytest.raises(DataError, match=r"knows ISIIS\. Name the one"):
        preprocess.look("IFCB")
