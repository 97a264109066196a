"""Labels of IFCB images from what other tools keep."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from plankton_da.demo.bins import draw_pictures, write_bin
from plankton_da.errors import ManifestError, UsageError
from plankton_da.manifests.ingest import IngestOptions, IngestResult
from plankton_da.manifests.ingest.ifcb import build
from plankton_da.manifests.ingest.ifcb_labels import read_labels
from plankton_da.manifests.ingest.ifcb_manual import read_manual

PID = "D20160714T023910_IFCB101"


@pytest.fixture
def bins(tmp_path: Path) -> Path:
    """A bin of four images, the first trigger having none."""
    write_bin(tmp_path / "bins", PID, [None, *draw_pictures(4, seed=0)])
    return tmp_path / "bins"


def built(bins: Path, labels: Path, all_labels: bool = False) -> IngestResult:
    options = IngestOptions(labels=labels, all_labels=all_labels)
    return build([bins], "IFCB", bins.parent / "m.csv", options)


def manual(path: Path, classlist: object, classes: tuple[str, ...], **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.array(classes, dtype=object)
    savemat(path, {"classlist": classlist, "class2use_manual": cells, **more}, do_compression=True)
    return path


CLASSES = ("unclassified", "Mesodinium", "Diatom")


def test_a_table_of_classipyr(bins: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(
        '"file_name","class_name","class_name_auto","score"\n'
        f'"{PID}_00002.png","Mesodinium, rubrum","Ciliate",0.9\n'
        f'"{PID}_00003.png","unclassified","Ciliate",0.3\n'
        f'"{PID}_00005.png","NA","Ciliate",0.3\n'
        f'"{PID}_00077.png","Diatom","Diatom",0.3\n'
        '"notes","Diatom","Diatom",0.3\n'
    )
    result = built(bins, table)
    assert result.table["label"].tolist() == ["Mesodinium, rubrum", "", "", "NA"]
    assert [*result.table.columns][:4] == ["object_id", "image", "instrument", "label"]
    assert result.failed == [(f"{table}:6", "file_name is no image of a bin")]
    assert result.remarks == [
        "1 image is unclassified in --labels: no label",
        "1 table(s) of labels have scores: a classifier's labels, unless somebody corrected them",
        "2 of 4 images have a label",
        f"1 label is of an image that is not there: {PID}_00077",
    ]
    assert built(bins, table, all_labels=True).table["label"].tolist()[1] == "Ciliate"


def test_a_manual_file(bins: Path, tmp_path: Path) -> None:
    nan = float("nan")
    rows = [[1, nan, nan], [2, 2, nan], [3, 1, 3], [4, nan, 3], [5, 99, nan]]
    path = manual(tmp_path / "manual" / f"{PID}.mat", rows, CLASSES, class2use_auto=[])
    result = built(bins, path)
    assert result.table["label"].tolist() == ["Mesodinium", "", "", ""]
    assert built(bins, path.parent).table["label"].tolist() == ["Mesodinium", "", "", ""]
    labelled = built(bins, path, all_labels=True).table["label"].tolist()
    assert labelled == ["Mesodinium", "", "Diatom", ""]


def test_class_folders_of_exported_images(bins: Path, tmp_path: Path) -> None:
    for name in (f"Diatom/{PID}_00002.png", f"NA/deep/{PID}_00004.png", f"{PID}_00003.png"):
        file = tmp_path / "classes" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 3)).save(file)
    shutil.copy(file, tmp_path / "classes" / "NA" / "holiday.png")
    result = built(bins, tmp_path / "classes")
    assert result.table["label"].tolist() == ["Diatom", "", "NA", ""]
    reasons = {Path(place).name: why for place, why in result.skipped}
    assert reasons == {
        f"{PID}_00003.png": "lies in no class folder",
        "holiday.png": "its name is no ROI's, such as BIN_00014.png",
    }


def test_a_person_goes_before_a_classifier(bins: Path, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    manual(folder / f"{PID}.mat", [[2, 2, 0], [3, 1, 0]], CLASSES)
    lines = [f"{PID}_{number:05d}.png,Ciliate" for number in (2, 3, 4)]
    (folder / "auto.csv").write_text("\n".join(["file_name,class_name", *lines]))
    result = built(bins, folder)
    assert result.table["label"].tolist() == ["Mesodinium", "", "Ciliate", ""]
    assert result.failed == []


def test_an_image_with_two_labels_gets_none(bins: Path, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    for name, label in (("a", "Diatom"), ("b", "Ciliate"), ("c", "Diatom")):
        (folder / f"{name}.csv").write_text(
            f"file_name,class_name\n{PID}_00002,{label}\n{PID}_00003,Same\n"
        )
    result = built(bins, folder)
    assert result.table["label"].tolist() == ["", "Same", "", ""]
    ((place, why),) = result.failed
    assert place == f"{PID}_00002"
    assert why == (
        f"called 'Diatom' in {folder / 'a.csv'} and 'Ciliate' in {folder / 'b.csv'}: "
        "left without a label"
    )


def test_files_beside_the_labels(bins: Path, tmp_path: Path) -> None:
    (bins / "a.csv").write_text(f"file_name,class_name\n{PID}_00002,Diatom\n")
    (bins / "other.csv").write_text("x,y\n1,2\n")
    (bins / "damaged.mat").write_bytes(b"MATLAB 5.0" + bytes(200))
    savemat(bins / "class2use.mat", {"class2use": np.array(CLASSES, dtype=object)})
    result = built(bins, bins)
    assert result.table["label"].tolist() == ["Diatom", "", "", ""]
    of_labels = {Path(place).name: why for place, why in result.skipped if "file of" not in why}
    assert of_labels == {
        "other.csv": "a table without the columns file_name and class_name",
        "class2use.mat": "no manual file: no classlist or class2use_manual",
    }
    assert [Path(place).name for place, _ in result.failed] == ["damaged.mat"]


def test_nothing_to_label_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        read_labels(tmp_path / "absent.csv", False)
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match=r"expected a \.csv with file_name"):
        read_labels(tmp_path / "a.txt", False)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ManifestError, match=r"no label was found there\n.*without the columns"):
        read_labels(tmp_path / "a.csv", False)


def test_real_labels(shared_data: Path) -> None:
    folder = shared_data / "formats" / "ifcb" / "v2_class"
    pid = "D20220522T000439_IFCB134"
    found = read_manual(folder / f"{pid}.mat", False)
    assert found is not None
    assert dict(zip(*found, strict=True)) == {
        2: "Mesodinium_rubrum",
        3: "Strombidium_like",
        4: "unclassified",
        5: "Ciliates",
        6: "Mesodinium_rubrum",
        7: "Mesodinium_rubrum",
        8: "Mesodinium_rubrum",
    }
    assert read_manual(folder / "class2use.mat", False) is None
    table = read_labels(folder / f"{pid}.csv", False).table
    assert table["object_id"].tolist() == [f"{pid}_{number:05d}" for number in range(2, 9)]
    assert table["label"].value_counts().to_dict() == {
        "Mesodinium_rubrum": 5,
        "Strombidium-like": 1,
        "Ciliophora": 1,
    }
    other = shared_data / "formats" / "ifcb" / "class_v1" / "D20220522T003051_IFCB134.csv"
    assert read_labels(other, False).table["label"].tolist() == ["Mesodinium_rubrum"] * 2


def test_a_mat_file_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = manual(tmp_path / f"{PID}.mat", [[2, 2, 0]], CLASSES)
    packed = zlib.compress(bytes(300 * 2**20), 9)
    element = (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    path.write_bytes(path.read_bytes() + element)
    with pytest.raises(ManifestError, match="bytes once unpacked"):
        read_manual(path, False)


def test_matlab_7_3_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / f"{PID}.mat"
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(head + b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(ManifestError, match=r"saved as MATLAB 7.3, .* -v7"):
        read_manual(path, False)


@settings(max_examples=150, deadline=3000)
@given(at=st.integers(0, 900), length=st.integers(0, 60), new=st.binary(max_size=60))
def test_no_damage_of_a_mat_file_raises_anything_else(
    at: int, length: int, new: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = manual(folder / f"{PID}.mat", [[2, 2, 0], [3, 3, 0]], CLASSES)
    cells = np.array(CLASSES, dtype=object)
    savemat(path, {"classlist": [[2.0, 2.0, 0.0]], "class2use_manual": cells})
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + new + raw[at + length :])
    try:
        found = read_manual(path, True)
    except ManifestError:
        return
    if found is not None:
        numbers, labels = found
        assert len(numbers) == len(labels)
        assert "" not in labels
