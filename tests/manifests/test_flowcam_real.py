"""FlowCam runs that were published: their counts, boxes, pixels and what stands beside them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from plankton_da.errors import ManifestError
from plankton_da.images.refs import open_image
from plankton_da.manifests.checks import check_manifest
from plankton_da.manifests.ingest import IngestOptions, IngestResult, build_manifest
from plankton_da.manifests.ingest.flowcam import build
from plankton_da.manifests.ingest.flowcam_lists import ParticleList
from plankton_da.manifests.ingest.flowcam_runs import read_facts
from plankton_da.manifests.table import read_manifest


def built(*inputs: Path, out: Path) -> IngestResult:
    return build(inputs, "FlowCam", out, IngestOptions())


PYGSUIA = "7-Pygsuia-SF-SW-sulfate-day5-sample2-replicate3-08April2024"
COMICS = "flowcam_COMICS_DY086_20171118_MSC019_t0_4x"


@pytest.mark.parametrize(
    ("folder", "stem", "size", "first", "last", "hashes"),
    [
        (
            "pygsuia_2024-04-08",
            PYGSUIA,
            "0.5544",
            ("1", "0,0,25,29"),
            ("1000", "897,203,24,16"),
            (
                "5737f2f2ec23104ea000e38244990a13af83a35f15804273657b19b42adab6c3",
                "25b13715d80c54d9609b140777054ebbcd880e11b6f21aab1447246468c8e5de",
            ),
        ),
        (
            "comics_dy086",
            COMICS,
            "1.813",
            ("1", "0,0,59,63"),
            ("506", "1135,1824,46,50"),
            (
                "9a4aa87057b8cc7f9738ce55ac4f86caae3ad33b649b53c110fdc9e757732e16",
                "14f97b92ffdc7490bd2de98c1591268973be8b6869259081875fcea7828df558",
            ),
        ),
    ],
    ids=["pygsuia", "comics"],
)
def test_real_runs(
    shared_data: Path,
    tmp_path: Path,
    folder: str,
    stem: str,
    size: str,
    first: tuple[str, str],
    last: tuple[str, str],
    hashes: tuple[str, str],
) -> None:
    out = tmp_path / "m.csv"
    place = shared_data / "formats" / "flowcam" / folder
    result = build_manifest("flowcam", [place], "FlowCam", out)
    assert (result.failed, result.skipped, result.remarks) == ([], [], [])
    manifest = read_manifest(out)
    table = manifest.table
    assert len(table) == int(last[0])
    assert set(table["pixel_size_um"]) == {size}
    assert set(table["group"]) == {stem}
    for row, (number, box), pixel_hash in zip((0, -1), (first, last), hashes, strict=True):
        assert table["particle"].iloc[row] == number
        assert table["image"].iloc[row].endswith(f"{stem}_000001.tif#{box}") or row == -1
        assert table["image"].iloc[row].endswith(f"#{box}")
        image = open_image(table["image"].iloc[row], manifest.root)
        assert image.mode == "RGB"
        assert hashlib.sha256(image.tobytes()).hexdigest() == pixel_hash
    assert check_manifest(out, open_images=True, workers=1).ok


def test_a_real_runs_table_equals_its_list(shared_data: Path, tmp_path: Path) -> None:
    place = shared_data / "formats" / "flowcam" / "pygsuia_2024-04-08"
    listed = built(place / f"{PYGSUIA}.lst", out=tmp_path / "m.csv").table
    exported = built(place / f"{PYGSUIA}.csv", out=tmp_path / "m.csv").table
    assert len(listed) == len(exported) == 1000
    assert listed["image_id"].equals(exported["image_id"])
    assert listed["image"].equals(exported["image"])
    assert listed["ppc"].equals(exported["ppc"])
    assert set(listed["ppc"]) > {"1", "2"}  # one image is not one cell
    assert set(listed["volume_ml"]) == {"0.01737"}
    assert set(listed["run_start"]) == {"2024-04-08 10:14:01"}
    assert set(listed["flow_cell"]) == {"FC100"}
    assert set(listed["magnification"]) == {"10"}


def test_a_real_list_without_its_collages_names_each(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "formats" / "flowcam" / "lst_only" / "sample_data_57cols.lst"
    particles = list(ParticleList(path))
    assert len(particles) == 7937
    assert {particle.pixel_size for particle in particles} == {"0.5545"}
    assert {particle.image_id for particle in particles} == {""}
    assert len({particle.collage for particle in particles}) == 57
    assert (particles[0].number, particles[0].box) == ("1", (0, 0, 25, 75))
    assert (particles[-1].number, particles[-1].box) == ("7937", (47, 837, 34, 35))
    whole = built(path.parent.parent, out=tmp_path / "m.csv")
    assert len(whole.table) == 1506
    assert len(whole.failed) == 57
    assert sum(int(place.split("(")[-1].split()[0]) for place, _ in whole.failed) == 7937
    with pytest.raises(ManifestError, match="it is not there"):
        built(path, out=tmp_path / "m.csv")


def test_real_summaries_without_a_list(shared_data: Path) -> None:
    folder = shared_data / "formats" / "flowcam" / "lst_only"
    names = {name.lower(): name for name in os.listdir(folder)}
    tank = read_facts(folder, names, ["19_10_Tank25_blanksremoved"])
    assert (tank.volume_ml, tank.particles, tank.pixel_size) == ("289.6065", "10381", "9.2500")
    assert tank.magnification == "12"
    sea = read_facts(folder, names, ["201-045311"])
    assert (sea.volume_ml, sea.pixel_size, sea.flow_cell) == ("", "1.0000", "FC300")
