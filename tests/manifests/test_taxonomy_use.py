"""What a check says of a taxonomy."""

from __future__ import annotations

from pathlib import Path

import pytest

from plankton_da.errors import ManifestError
from plankton_da.manifests.checks import check_manifests
from plankton_da.manifests.summary import check_summary
from plankton_da.manifests.taxonomy import read_taxonomy


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Manifests of two cameras that share the copepods."""
    (tmp_path / "a.png").touch()
    rows = {
        "CAM1": ["Calanus"] * 3 + ["Acartia"] * 2 + ["blob"] * 4 + ["pteropod", "", "odd"],
        "CAM2": ["cop"] * 5 + ["dot"],
    }
    paths = []
    for instrument, labels in rows.items():
        lines = [f"{i},a.png,{instrument},{label}" for i, label in enumerate(labels)]
        paths.append(tmp_path / f"{instrument}.csv")
        paths[-1].write_text("\n".join(["object_id,image,instrument,label", *lines]) + "\n")
    (tmp_path / "t.csv").write_text(
        "label,class\nCalanus,copepod\nAcartia,copepod\nblob,\npteropod,pteropod\n"
        "cop,copepod\ndot,dot\nnever,copepod\n"
    )
    return paths[0], paths[1]


def test_dropped_merged_and_without_partner(two: tuple[Path, Path], tmp_path: Path) -> None:
    reports = check_manifests(two, taxonomy=tmp_path / "t.csv")
    assert reports.as_json()["taxonomy"] == {
        "file": str(tmp_path / "t.csv"),
        "dropped": [{"instrument": "CAM1", "label": "blob", "n": 4}],
        "merged": [
            {"instrument": "CAM1", "label": "Acartia", "class": "copepod", "n": 2},
            {"instrument": "CAM1", "label": "Calanus", "class": "copepod", "n": 3},
        ],
        "without_partner": [
            {"instrument": "CAM1", "class": "pteropod", "n": 1},
            {"instrument": "CAM2", "class": "dot", "n": 1},
        ],
        "unused": ["never"],
    }
    assert check_summary(reports).splitlines()[-6:] == [
        f"taxonomy {tmp_path / 't.csv'}:",
        "  CAM1: copepod <- Calanus (3), Acartia (2)",
        "  CAM1: dropped: blob (4)",
        "  CAM1: no partner elsewhere: pteropod (1)",
        "  CAM2: no partner elsewhere: dot (1)",
        "  in no row: never",
    ]
    assert reports.reports[0].totals == {"unknown_label": 1}  # odd


def test_one_camera_has_nobody_to_be_a_partner_of(two: tuple[Path, Path], tmp_path: Path) -> None:
    use = check_manifests(two[:1], taxonomy=tmp_path / "t.csv").taxonomy
    assert use is not None
    assert use.without_partner.empty
    assert use.unused == ("cop", "dot", "never")


def test_without_a_taxonomy_nothing_is_said_of_one(two: tuple[Path, Path]) -> None:
    reports = check_manifests(two)
    assert "taxonomy" not in reports.as_json()
    assert "partner" not in check_summary(reports)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label;class\na;x\n", "line 1: the columns are separated by semicolons: 'label;class'"),
        ("\ufefflabel;class\r\na;x\r\n", "separated by semicolons"),
        ("label\tclass\na\tx\n", "separated by tabs"),
    ],
)
def test_the_separator_of_another_country(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_taxonomy(tmp_path / "t.csv")
    assert words in str(caught.value)
    assert "with commas" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
