"""Each parser under atheris: no error but ours, no hang, no memory without end.

libFuzzer owns a process, so each parser has one of its own, which ``fuzz_parsers.py`` is. It goes
on from files that are sound, towards code that it has not seen yet. ``PLANKTON_DA_FUZZ_SECONDS``
says for how long (20 for each parser).
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from plankton_da.demo.bins import draw_pictures, write_bin
from tests.manifests.test_flowcam import FIELDS_53, FIELDS_65, draw_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("atheris") is None, reason="atheris is not there: pip install -e '.[fuzz]'"
    ),
]

HARNESS = Path(__file__).with_name("fuzz_parsers.py")
SECONDS = int(os.environ.get("PLANKTON_DA_FUZZ_SECONDS", "20"))
MOST_MEGABYTES = 1500  # of the process: imports take some 300
MOST_SECONDS = 10  # for one file of at most MOST_BYTES
MOST_BYTES = 1 << 16

Seeds = list[bytes]


def chosen(files: dict[str, bytes], names: tuple[str, ...]) -> Seeds:
    """Files as a parser of several takes them: the first byte is the number of the name."""
    return [bytes([names.index(name)]) + data for name, data in files.items()]


def ifcb(sound: Path) -> Seeds:
    names = []
    for pid in ("IFCB3_2008_013_013423", "D20160714T023910_IFCB101"):
        write_bin(sound, pid, [None, *draw_pictures(2, seed=0)])
        names += [f"{pid}{suffix}" for suffix in (".hdr", ".adc", ".roi")]
    return chosen({name: (sound / name).read_bytes() for name in names}, tuple(names))


def ifcb_labels(_: Path) -> Seeds:
    pid = "D20160714T023910_IFCB101"
    rows = [f'"{pid}_{n:05d}.png","Diatom, {n}","unclassified",0.{n}' for n in range(3)]
    header = '"file_name","class_name","class_name_auto","score"'
    return ["\n".join([header, *rows, ""]).encode(), "\r\n".join([header, *rows]).encode("utf-16")]


def mat(_: Path) -> Seeds:
    cells = np.array(["unclassified", "Mesodinium", "Diatom é"], dtype=object)
    table = {"classlist": [[2.0, 2, 0], [3, np.nan, 3]], "class2use_manual": cells}
    seeds = []
    for packed in (False, True):
        stream = io.BytesIO()
        savemat(stream, {**table, "class2use_auto": cells}, do_compression=packed)
        seeds.append(stream.getvalue())
    return seeds


def flowcam(sound: Path) -> Seeds:
    names = ("run.lst", "run.csv", "run.ctx", "run_summary.csv", "run_run_summary.txt")
    seeds = []
    for fields in (FIELDS_53, FIELDS_65):
        seeds.append(b"\0" + draw_run(sound, fields=fields).read_bytes())
    header = "Particle ID,Calibration Factor,Image File,Image Height,Image Width,Image X,Image Y"
    beside = {
        "run.csv": f"{header}\n1,0.5544,run_000001.tif,7,9,0,0\n2,x\n",
        "run.ctx": "[General]\nCalibrationConstant=1.36\nFluidVolumeImaged_ml=0.5\n",
        "run_summary.csv": "Start Time,2024-04-08\nCount,3\nSample Volume Imaged ml,0.01737\n",
        "run_run_summary.txt": "Run:\n\tFluid Volume Imaged: 0.0174 ml\n\tParticle Count: 5\n",
    }
    for name, text in beside.items():
        (sound / name).write_text(text, newline="")
    return [*seeds, *chosen({name: text.encode() for name, text in beside.items()}, names)]


def tables() -> dict[str, bytes]:
    frame = pd.DataFrame(
        {
            "object_id": ["007", "NA", "b#1"],
            "image": ["a.png", "c.zip!d.png", "gone.png"],
            "instrument": "CAM",
            "label": ["copepod", 'a "b", c', ""],
            "split": ["train", "val", "tset"],
            "group": ["s1", "s1", ""],
            "pixel_size_um": ["10.6", "0", "1e3"],
        }
    )
    packed = io.BytesIO()
    frame.to_parquet(packed)
    bare = io.BytesIO()
    frame.assign(depth=[1.5, None, 2]).to_parquet(bare, compression=None)
    return {
        "t.csv": frame.to_csv(index=False).encode(),
        "t.tsv": frame.to_csv(index=False, sep="\t").encode("latin-1"),
        "t.txt": frame.to_csv(index=False, sep=";").encode("utf-16"),
        "t.parquet": packed.getvalue(),
        "bare.parquet": bare.getvalue(),
    }


def csv_table(_: Path) -> Seeds:
    names = ("t.csv", "t.tsv", "t.txt", "t.parquet")
    return chosen({name: data for name, data in tables().items() if name in names}, names)


def manifest_csv(_: Path) -> Seeds:
    plain = tables()["t.csv"]
    taxonomy = b"label,class\ncopepod,Copepoda\nbubble,\n"
    return [plain, plain.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + plain, taxonomy]


def manifest_parquet(_: Path) -> Seeds:
    return [tables()["t.parquet"], tables()["bare.parquet"]]


def layouts(draw_ecotaxa: ModuleType) -> Seeds:
    zipped, picture = draw_ecotaxa.zipped, draw_ecotaxa.picture()
    lab = {"DAPlankton_lab/CS/A b/1.png": picture, "DAPlankton_lab/FC/C/1.png": picture}
    return [
        b"\0" + zipped({"copepod/a.png": picture, "b/c.jpg": b"no picture"}),
        b"\1" + zipped({"Copepoda__25828/a.png": picture, "x__y/a.png": picture}),
        b"\2" + zipped({"train/copepod/7.png": picture, "test/1.png": picture}),
        b"\3" + zipped({"DAPlankton_lab.zip": zipped(lab)}),
    ]


def ecotaxa(draw_ecotaxa: ModuleType, folder: Path, suffix: str) -> Seeds:
    """All files of one suffix of the archives that the tests of EcoTaxa draw."""
    for name in draw_ecotaxa.ARCHIVES:
        draw_ecotaxa.write(name, folder)
    return [path.read_bytes() for path in sorted(folder.rglob(f"*{suffix}"))]


def tar_members(draw_ecotaxa: ModuleType) -> Seeds:
    seeds = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
            for name in ("a.png", f"{'long/' * 30}é.png"):
                data = draw_ecotaxa.picture()
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "a.png"
            archive.addfile(link)
        seeds.append(stream.getvalue())
    return seeds


@pytest.fixture
def seeds(draw_ecotaxa: ModuleType, tmp_path: Path) -> dict[str, Callable[[Path], Seeds]]:
    """Parser -> what makes its files, given the folder of what stands beside them."""

    def tables_of_ecotaxa(sound: Path) -> Seeds:
        (sound / "a.png").write_bytes(draw_ecotaxa.picture())
        return ecotaxa(draw_ecotaxa, tmp_path / "drawn", ".tsv")

    return {
        "ifcb": ifcb,
        "ifcb_labels": ifcb_labels,
        "mat": mat,
        "ecotaxa_table": tables_of_ecotaxa,
        "ecotaxa_zip": lambda _: ecotaxa(draw_ecotaxa, tmp_path / "drawn", ".zip"),
        "flowcam": flowcam,
        "csv_table": csv_table,
        "manifest_csv": manifest_csv,
        "manifest_parquet": manifest_parquet,
        "layouts": lambda _: layouts(draw_ecotaxa),
        "zip_members": lambda _: ecotaxa(draw_ecotaxa, tmp_path / "drawn", ".zip"),
        "tar_members": lambda _: tar_members(draw_ecotaxa),
    }


NAMES = (
    "ifcb",
    "ifcb_labels",
    "mat",
    "ecotaxa_table",
    "ecotaxa_zip",
    "flowcam",
    "csv_table",
    "manifest_csv",
    "manifest_parquet",
    "layouts",
    "zip_members",
    "tar_members",
)


def fuzz(script: Path, name: str, folder: Path, seconds: int) -> tuple[int, str]:
    """Exit code and output of a harness; what it fails on stands in ``folder/found-...``."""
    options = {
        "max_total_time": seconds,
        "timeout": MOST_SECONDS,
        "rss_limit_mb": MOST_MEGABYTES,
        "max_len": MOST_BYTES,
        "artifact_prefix": f"{folder}/found-",
        "print_final_stats": 1,
    }
    command = [sys.executable, str(script), name, str(folder)]
    command += [f"-{option}={value}" for option, value in options.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace")


@pytest.mark.timeout(SECONDS + 180)
@pytest.mark.parametrize("name", NAMES)
def test_no_file_breaks_the_parser(
    name: str, seeds: dict[str, Callable[[Path], Seeds]], tmp_path: Path
) -> None:
    for part in ("corpus", "sound"):
        (tmp_path / part).mkdir()
    sound = seeds[name](tmp_path / "sound")
    for number, data in enumerate(sound):
        (tmp_path / "corpus" / f"{number:03d}").write_bytes(data[:MOST_BYTES])
    code, said = fuzz(HARNESS, name, tmp_path, SECONDS)
    found = [(path.name, path.read_bytes()) for path in tmp_path.glob("found-*")]
    assert (code, found) == (0, []), said[-5000:]
    (count,) = re.findall(r"stat::number_of_executed_units: (\d+)", said)
    assert int(count) > 2 * len(sound), said[-5000:]


FAULTS = {
    "error": ("raise KeyError(0)", "Uncaught Python exception"),
    "hang": ("while True: pass", "timeout after"),
    "memory": ("kept.append(bytearray(1 << 28))", "out-of-memory"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, tmp_path: Path) -> None:
    statement, words = FAULTS[fault]
    script = tmp_path / "planted.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(HARNESS.parent)!r})\nimport fuzz_parsers\nkept = []\n"
        f"def planted(folder, data, sound):\n    if data[:1] == b'P':\n        {statement}\n"
        "fuzz_parsers.PARSERS['planted'] = planted\nfuzz_parsers.main()\n"
    )
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "seed").write_bytes(b"Qx")
    code, said = fuzz(script, "planted", tmp_path, 60)
    assert code != 0
    assert words in said
