"""FlowCam runs: lists, collages and what stands beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from plankton_da.errors import ManifestError, PlanktonDAError, UsageError
from plankton_da.images.refs import open_image
from plankton_da.manifests.ingest import IngestOptions, IngestResult
from plankton_da.manifests.ingest.flowcam import build
from plankton_da.manifests.ingest.flowcam_lists import ParticleList

FIELDS_53 = ["id", "image_x", "image_y", "image_w", "image_h", "ppc", "cal_const"]
FIELDS_53 += [f"feature_{n}" for n in range(44)] + ["timestamp", "collage_file"]
FIELDS_65 = [*FIELDS_53[:-2], *[f"more_{n}" for n in range(9)]]
FIELDS_65 += ["esd_diameter", "abd_diameter", "timestamp", "collage_file", "image_id"]
BOXES = [(0, 0, 9, 7), (10, 0, 4, 4), (0, 8, 30, 12)]


def row_of(fields: Sequence[str], number: int, box: Sequence[int], collage: str) -> list[str]:
    values = dict.fromkeys(fields, "0.0000")
    values |= {"id": str(number), "ppc": "2", "cal_const": "0.5544"}
    values |= {"collage_file": collage, "timestamp": "2024-04-08T10:14:11.131"}
    values |= dict(zip(("image_x", "image_y", "image_w", "image_h"), map(str, box), strict=True))
    if "image_id" in fields:
        values["image_id"] = f"F59D2663-{number:04d}"
    return [values[name] for name in fields]


def list_of(fields: Sequence[str], rows: Sequence[Sequence[str]], version: str = "017") -> str:
    header = [version, f"num-fields|{len(fields)}", *[f"{name}|double" for name in fields]]
    return "\n".join([*header, *["|".join(row) for row in rows], ""])


def draw_run(
    folder: Path,
    name: str = "run",
    fields: Sequence[str] = FIELDS_65,
    listed_as: str = "",
    seed: int = 0,
) -> Path:
    """A run of three particles on one collage of 30 x 20 pixels: gray, stored as RGB."""
    folder.mkdir(parents=True, exist_ok=True)
    gray = np.random.default_rng(seed).integers(0, 256, (20, 30, 1)).astype(np.uint8)
    Image.fromarray(np.repeat(gray, 3, axis=2)).save(folder / f"{name}_000001.tif")
    rows = [row_of(fields, n, box, f"{name}_000001.tif") for n, box in enumerate(BOXES, 1)]
    path = folder / f"{listed_as or name}.lst"
    path.write_bytes(list_of(fields, rows).encode("latin-1"))
    return path


def built(*inputs: Path, out: Path) -> IngestResult:
    return build(inputs, "FlowCam", out, IngestOptions())


@pytest.mark.parametrize("fields", [FIELDS_53, FIELDS_65], ids=["53_fields", "65_fields"])
def test_particles_are_boxes_of_collages(tmp_path: Path, fields: list[str]) -> None:
    draw_run(tmp_path / "in", fields=fields)
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert (result.failed, result.skipped, result.remarks) == ([], [], [])
    table = result.table
    assert table["object_id"].tolist() == ["run/1", "run/2", "run/3"]
    assert table["image"][2] == "in/run_000001.tif#0,8,30,12"
    assert set(table["group"]) == {"run"}
    assert set(table["pixel_size_um"]) == {"0.5544"}
    assert set(table["ppc"]) == {"2"}
    assert ("image_id" in table.columns) == (fields is FIELDS_65)
    pixels = np.asarray(Image.open(tmp_path / "in" / "run_000001.tif"))
    for ref, (x, y, w, h) in zip(table["image"], BOXES, strict=True):
        assert np.array_equal(np.asarray(open_image(ref, tmp_path)), pixels[y : y + h, x : x + w])


def test_several_runs_and_inputs_keep_their_names_apart(tmp_path: Path) -> None:
    for name in ("a/one", "a/two", "b/one"):
        draw_run(tmp_path / name, "r", listed_as="metadata")
    table = built(tmp_path / "a", tmp_path / "b", out=tmp_path / "m.csv").table
    assert table["object_id"][::3].tolist() == [
        "a/one/metadata/1",
        "a/two/metadata/1",
        "b/one/metadata/1",
    ]
    assert table["group"].unique().tolist() == ["a/one/r", "a/two/r", "b/one/r"]


def test_the_collage_is_named_by_the_list_alone(tmp_path: Path) -> None:
    path = draw_run(tmp_path / "in", "P02_Jan2015", listed_as="metadata")
    text = path.read_text().replace("P02_Jan2015_000001.tif", "C:\\Vertex\\p02_JAN2015_000001.TIF")
    path.write_text(text)
    table = built(path, out=tmp_path / "m.csv").table
    assert table["image"][0] == "in/P02_Jan2015_000001.tif#0,0,9,7"
    assert table["object_id"][0] == "metadata/1"


def test_what_the_run_says_of_itself(tmp_path: Path) -> None:
    path = draw_run(tmp_path / "in")
    beside = tmp_path / "in"
    (beside / "run.ctx").write_text(
        "[Software]\r\nCameraMagnification=10\r\n[General]\r\nRunStartTime=2024-04-08 08:14:01\r\n"
        "[Fluid]\r\nFlowCellType=FC100\r\nFluidVolumeImaged_ml=0.0000\r\n"
        "CalibrationConstant=1.0000\r\nSampleDilution=1\r\nno key\r\n"
    )
    (beside / "run_run_summary.txt").write_text(
        "Run:\r\n\tFluid Volume Imaged: 0.0174 ml\r\n\tParticle Count: 5\r\n"
        "Date/Time:\r\n\tStart:  2024-04-08 10:14:01\r\n"
    )
    result = built(path, out=tmp_path / "m.csv")
    assert set(result.table["volume_ml"]) == {"0.0174"}
    assert set(result.table["magnification"]) == {"10"}
    assert set(result.table["flow_cell"]) == {"FC100"}
    assert set(result.table["run_start"]) == {"2024-04-08 10:14:01"}
    size, count = result.remarks
    assert "0.5544 µm in the list, 1.0000 µm beside it; the list's is taken" in size
    assert "lists 3 particles, but the run's summary counts 5" in count
    (beside / "run_summary.csv").write_text(
        "Start Time,2024-04-08  10:14:02\r\nCount,3\r\nSample Volume Imaged ml,0.01737\r\n"
    )
    result = built(path, out=tmp_path / "m.csv")
    assert set(result.table["volume_ml"]) == {"0.01737"}
    assert set(result.table["run_start"]) == {"2024-04-08 10:14:02"}
    assert len(result.remarks) == 1


def test_a_pixel_size_that_the_list_lacks_comes_from_beside(tmp_path: Path) -> None:
    path = draw_run(tmp_path / "in")
    path.write_text(path.read_text().replace("0.5544", "0.0000"))
    result = built(path, out=tmp_path / "m.csv")
    assert "pixel_size_um" not in result.table.columns
    assert "no other file of the run has one" in result.remarks[0]
    (tmp_path / "in" / "run.ctx").write_text("CalibrationConstant=1.3600\n")
    result = built(path, out=tmp_path / "m.csv")
    assert set(result.table["pixel_size_um"]) == {"1.36"}
    assert not result.remarks


def test_bad_lines_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = draw_run(tmp_path / "in")
    collage = "run_000001.tif"
    bad = {
        "short": row_of(FIELDS_65, 4, (0, 0, 1, 1), collage)[:-1],
        "long": [*row_of(FIELDS_65, 5, (0, 0, 1, 1), collage), "x"],
        "no_number": row_of(FIELDS_65, 6, (0, -1, 1, 1), collage),
        "no_size": row_of(FIELDS_65, 7, (0, 0, 0, 1), collage),
        "outside": row_of(FIELDS_65, 8, (29, 0, 2, 1), collage),
        "no_collage": row_of(FIELDS_65, 9, (0, 0, 1, 1), ""),
        "parent": row_of(FIELDS_65, 10, (0, 0, 1, 1), "../.."),
        "again": row_of(FIELDS_65, 1, (1, 1, 1, 1), collage),
        "other": row_of(FIELDS_65, 11, (1, 1, 1, 1), "gone_000002.tif"),
    }
    with path.open("a") as file:
        file.writelines("|".join(row) + "\r\n" for row in bad.values())
        file.write("\n" + "|".join([*row_of(FIELDS_65, 12, (1, 2, 3, 4), collage), ""]) + "\n")
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table["particle"].tolist() == ["1", "2", "3", "12"]
    first = 2 + len(FIELDS_65) + len(BOXES) + 1
    failed = dict(result.failed)
    gone = failed.pop(f"{tmp_path / 'in' / 'gone_000002.tif'} (1 particles)")
    assert gone == "a list names this collage, but it is not there"
    lines = {place: int(place.rsplit(":", 1)[1]) - first for place in failed}
    assert sorted(lines.values()) == list(range(8))
    words = [why for _, why in sorted(failed.items(), key=lambda item: lines[item[0]])]
    assert words[0] == words[1] == "a line does not have the 65 values that are declared"
    assert words[2].endswith("no whole numbers")
    assert words[3].endswith("0 pixels wide or high")
    assert words[4].endswith("not inside the collage's 30 x 20 pixels")
    assert words[5] == words[6] == "the line names no collage"
    assert words[7] == f"particle 1 stands in line {first - 3} already"


def test_a_selection_of_a_run_adds_no_particle_twice(tmp_path: Path) -> None:
    path = draw_run(tmp_path / "in")
    selection = "\n".join(path.read_text().splitlines()[:-1])
    (tmp_path / "in" / "run_blanks_removed.lst").write_text(selection)
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert len(result.table) == 3
    ((place, why),) = result.skipped
    assert place.endswith("run_blanks_removed.lst")
    assert why == "2 particle(s) stand in another list of this folder already"
    alone = built(tmp_path / "in" / "run_blanks_removed.lst", out=tmp_path / "m.csv").table
    assert alone["object_id"].tolist() == ["run_blanks_removed/1", "run_blanks_removed/2"]
    assert set(alone["group"]) == {"run"}


def test_masks_are_ignored_and_collages_without_a_list_named(tmp_path: Path) -> None:
    draw_run(tmp_path / "in")
    for name in ("run_000001_bin.tif", "cal_image_000001.tif", "lost_000001.tif", "run.edg"):
        (tmp_path / "in" / name).touch()
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    names = [(os.path.basename(path), why) for path, why in result.skipped]
    assert names == [("lost_000001.tif", "a collage that no list of this folder names")]


def test_an_exported_table_will_do_where_there_is_no_list(tmp_path: Path) -> None:
    path = draw_run(tmp_path / "in")
    header = "Particle ID;Calibration Factor;Image File;Image Height;Image Width;Image X;Image Y"
    table = tmp_path / "in" / "export.csv"
    table.write_text(f"{header};Particles Per Chain\n1;0.5544;run_000001.tif;7;9;0;0;3\n2;x\n")
    (tmp_path / "in" / "notes.csv").write_text("a,b\n1,2\n")
    both = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert both.table["object_id"].tolist() == ["run/1", "run/2", "run/3"]
    path.unlink()
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table.to_dict("records") == [
        {
            "object_id": "export/1",
            "image": "in/run_000001.tif#0,0,9,7",
            "instrument": "FlowCam",
            "group": "run",
            "pixel_size_um": "0.5544",
            "particle": "1",
            "ppc": "3",
        }
    ]
    assert [place for place, _ in result.failed] == [f"{table}:3"]
    with pytest.raises(UsageError, match=r"notes\.csv: no list of particles"):
        built(tmp_path / "in" / "notes.csv", out=tmp_path / "m.csv")


BROKEN = {
    "empty": "",
    "text": "hello\nworld\n",
    "no_count": "017\nnum-fields\nid|int32\n",
    "endless_header": "017\nnum-fields|999999999\n" + "a|b\n" * 50,
    "header_ends_early": "017\nnum-fields|9\nid|int32\n",
    "no_box": "017\nnum-fields|1\nid|int32\n1\n",
    "endless_line": "017\nnum-fields|1\n" + "x" * 3_000_000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_list_is_named_and_others_are_read(tmp_path: Path, name: str) -> None:
    draw_run(tmp_path / "in")
    (tmp_path / "in" / "broken.lst").write_text(BROKEN[name])
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert len(result.table) == 3
    assert [place for place, _ in result.failed] == [str(tmp_path / "in" / "broken.lst")]
    with pytest.raises(ManifestError, match="no particle found"):
        built(tmp_path / "in" / "broken.lst", out=tmp_path / "m.csv")


def test_a_damaged_collage_is_named_once(tmp_path: Path) -> None:
    draw_run(tmp_path / "in" / "good")
    draw_run(tmp_path / "in" / "bad")
    (tmp_path / "in" / "bad" / "run_000001.tif").write_bytes(b"II*\x00\xff\xff\xff\x7f")
    result = built(tmp_path / "in", out=tmp_path / "m.csv")
    assert result.table["object_id"].tolist() == ["good/run/1", "good/run/2", "good/run/3"]
    ((place, why),) = result.failed
    assert place == f"{tmp_path / 'in' / 'bad' / 'run_000001.tif'} (3 particles)"
    assert why.startswith("truncated: ")


GOOD = list_of(FIELDS_53, [row_of(FIELDS_53, 1, BOXES[0], "run_000001.tif")]).encode()


@given(st.binary(max_size=300), st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
@example(b"\xff|" * 100, 4, 4)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("suffix", ["lst", "csv"])
def test_any_bytes_are_particles_or_our_error(
    tmp_path: Path, suffix: str, noise: bytes, start: int, end: int
) -> None:
    path = tmp_path / f"run.{suffix}"
    header = b"Particle ID,Image File,Image Height,Image Width,Image X,Image Y\n"
    good = GOOD if suffix == "lst" else header + b"1,a_000001.tif,3,4,0,0\n" * 9
    path.write_bytes(good[:start] + noise + good[end:])
    particles = ParticleList(path)
    try:
        found = list(particles)
    except PlanktonDAError:
        return
    assert all(min(particle.box) >= 0 for particle in found)
    assert all("/" not in particle.collage for particle in found)
