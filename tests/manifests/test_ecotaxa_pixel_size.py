"""Pixel sizes that EcoTaxa tables state."""

from __future__ import annotations

import pandas as pd
import pytest

from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.ingest.ecotaxa_pixel_size import pixel_sizes


def sizes(**columns: str) -> tuple[str, str]:
    table = pd.DataFrame({name: [value] for name, value in columns.items()}, dtype=TEXT)
    found, remarks = pixel_sizes(table)
    return found.iloc[0], "\n".join(remarks)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("process_pixel", "0.118", "118"),  # UVP5, mm
        ("acq_pixel", "73", "73"),  # UVP6, µm
        ("process_pixel", "10.6", "10.6"),  # flatbed scanner, µm
        ("process_pixel", "0.75", "0.75"),  # PlanktoScope, µm
        ("process_particle_pixel_size_mm", "0.0106", "10.6"),  # ZooScan
        ("process_particle_pixel_size_µm", "0.0106", "10.6"),  # ZooScan, which means mm
        ("process_particle_pixel_size_um", "10.6", "10.6"),
        ("acq_resolution_pixels_per_micron", "3.4", "0.294118"),  # IFCB
        ("acq_pixel", "nan", ""),
        ("acq_pixel", "NA", ""),
        ("acq_pixel", "", ""),
        ("acq_pixel", "0", ""),
        ("acq_pixel", "-3", ""),
        ("acq_pixel", "1e9", ""),
        ("acq_pixel", "wide", ""),
        ("process_pixels", "10.6", ""),
        ("object_area", "10.6", ""),
    ],
)
def test_units_as_cameras_mean_them(column: str, value: str, expected: str) -> None:
    assert sizes(**{column: value})[0] == expected


def test_a_lie_is_said() -> None:
    _, words = sizes(**{"process_particle_pixel_size_µm": "0.0106"})
    assert "10.6 µm" in words
    assert "mm" in words


def test_a_size_that_may_be_either_unit_is_mm_on_a_uvp_and_unknown_elsewhere() -> None:
    assert sizes(process_pixel="0.174", acq_smbase="6")[0] == "174"
    assert sizes(acq_pixel="73", acq_smbase="6")[0] == "73"
    size, words = sizes(process_pixel="0.174")
    assert size == ""
    assert "may be µm or mm" in words


def test_the_column_nearest_to_the_image_is_taken_and_a_contradiction_said() -> None:
    size, words = sizes(acq_pixel="73", process_pixel="10.6", object_pixel_um="5")
    assert size == "5"
    assert "acq_pixel says 73 µm in 1 row, where 5 µm is taken" in words
    size, words = sizes(acq_pixel="10.58", process_pixel="10.6")
    assert "says" not in words


def test_rows_of_several_cameras() -> None:
    table = pd.DataFrame({"process_pixel": ["0.118", "10.6", "nan", "10.6"]}, dtype=TEXT)
    found, remarks = pixel_sizes(table)
    assert found.tolist() == ["118", "10.6", "", "10.6"]
    assert any(remark.startswith("pixel_size_um: 118, 10.6 from") for remark in remarks)
