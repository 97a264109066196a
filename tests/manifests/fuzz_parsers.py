"""Feeds one parser with what libFuzzer thinks of, until it raises an error that is not ours.

    python tests/manifests/fuzz_parsers.py PARSER FOLDER [libFuzzer's options]

A process has one parser, for libFuzzer never returns. FOLDER holds ``corpus``, whose files are
where it begins, and ``sound``, from which a parser takes what has to stand beside the data.
``test_atheris.py`` makes both and runs all parsers.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["plankton_da"], enable_loader_override=False):
    from plankton_da.errors import PlanktonDAError
    from plankton_da.images.archives import opened_archive, read_member
    from plankton_da.images.ifcb import read_bin
    from plankton_da.images.refs import encode_name, open_image
    from plankton_da.images.rois import read_rois
    from plankton_da.manifests.checks import check_manifest
    from plankton_da.manifests.ecotaxa_check import check_bundle
    from plankton_da.manifests.ingest import INGESTS, IngestOptions
    from plankton_da.manifests.ingest.ifcb_labels import read_labels
    from plankton_da.manifests.ingest.ifcb_manual import read_manual
    from plankton_da.manifests.table import read_manifest
    from plankton_da.manifests.taxonomy import read_taxonomy

warnings.simplefilter("error", append=True)

Parser = Callable[[Path, bytes, Path], None]
"""a new folder, the data, and the folder of what may have to stand beside them"""

BINS = ("IFCB3_2008_013_013423", "D20160714T023910_IFCB101")
BIN_FILES = tuple(f"{pid}{suffix}" for pid in BINS for suffix in (".hdr", ".adc", ".roi"))
FLOWCAM_FILES = ("run.lst", "run.csv", "run.ctx", "run_summary.csv", "run_run_summary.txt")
TABLES = ("t.csv", "t.tsv", "t.txt", "t.parquet")
LAYOUTS = ("folders", "uvpec", "planktonset", "daplankton")


def _chosen(names: tuple[str, ...], data: bytes) -> tuple[str, bytes]:
    return names[data[0] % len(names)] if data else names[0], data[1:]


def _built(name: str, place: Path, options: IngestOptions | None = None) -> None:
    instrument = "all" if name == "daplankton" else "CAM"
    out = place.parent / "m.csv"
    for all_labels in (False, True):
        chosen = options or IngestOptions(all_labels=all_labels)
        try:
            result = INGESTS[name].build([place], instrument, out, chosen)
        except PlanktonDAError:
            continue
        assert result.table["object_id"].is_unique
        for ref in result.table["image"].head(3):
            if "://" not in ref:  # nothing is fetched
                with contextlib.suppress(PlanktonDAError):
                    open_image(ref, out.parent)


def ifcb(folder: Path, data: bytes, sound: Path) -> None:
    """A bin, of which the first byte says the file that is the data."""
    name, data = _chosen(BIN_FILES, data)
    for path in sound.glob(f"{name[:-4]}.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes(data)
    _built("ifcb", folder)
    read_bin(folder / name)
    for _ in read_rois(folder / f"{name[:-4]}.roi"):
        pass


def ifcb_labels(folder: Path, data: bytes, _: Path) -> None:
    """A table of ClassiPyR."""
    path = folder / "labels.csv"
    path.write_bytes(data)
    read_labels(path, bool(len(data) % 2))


def mat(folder: Path, data: bytes, _: Path) -> None:
    """A ``manual`` file."""
    path = folder / f"{BINS[1]}.mat"
    path.write_bytes(data)
    read_manual(path, True)


def ecotaxa_table(folder: Path, data: bytes, sound: Path) -> None:
    """A table with an image beside it."""
    (folder / "ecotaxa_x.tsv").write_bytes(data)
    (folder / "a.png").write_bytes((sound / "a.png").read_bytes())
    _built("ecotaxa", folder)
    check_bundle(folder)


def ecotaxa_zip(folder: Path, data: bytes, _: Path) -> None:
    """A bundle."""
    path = folder / "x.zip"
    path.write_bytes(data)
    _built("ecotaxa", path)
    check_bundle(path)


def flowcam(folder: Path, data: bytes, sound: Path) -> None:
    """A run, of which the first byte says the file that is the data."""
    name, data = _chosen(FLOWCAM_FILES, data)
    for path in sound.glob("run*"):
        if not (name == "run.csv" and path.suffix == ".lst"):  # a list makes the table needless
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes(data)
    _built("flowcam", folder)


def csv_table(folder: Path, data: bytes, _: Path) -> None:
    """A lab's table; the first byte says its suffix."""
    name, data = _chosen(TABLES, data)
    path = folder / name
    path.write_bytes(data)
    (folder / "a.png").touch()
    _built("csv", path, IngestOptions())


def manifest_csv(folder: Path, data: bytes, _: Path) -> None:
    """A manifest; read as a taxonomy too."""
    path = folder / "m.csv"
    path.write_bytes(data)
    _read(path)


def manifest_parquet(folder: Path, data: bytes, _: Path) -> None:
    """A manifest; read as a taxonomy too."""
    path = folder / "m.parquet"
    path.write_bytes(data)
    _read(path)


def _read(path: Path) -> None:
    report = check_manifest(path)
    assert report.ok or report.problems
    try:
        manifest = read_manifest(path)
    except PlanktonDAError:
        pass
    else:
        assert len(manifest.table) == report.rows
        assert manifest.fingerprint == report.fingerprint
        read_manifest(path, ("label",))
    read_taxonomy(path)


def layouts(folder: Path, data: bytes, _: Path) -> None:
    """A zip whose folders mean something; the first byte says to whom."""
    name, data = _chosen(LAYOUTS, data)
    path = folder / "x.zip"
    path.write_bytes(data)
    _built(name, path)


def zip_members(folder: Path, data: bytes, _: Path) -> None:
    """All images of a zip."""
    _open_all(folder / "x.zip", data)


def tar_members(folder: Path, data: bytes, _: Path) -> None:
    """All images of a tar."""
    _open_all(folder / "x.tar", data)


def _open_all(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for member in itertools.islice(opened_archive(path).members(), 20):
        with contextlib.suppress(PlanktonDAError):
            read_member(path, (member.name,))
            open_image(f"{path.name}!{encode_name(member.name)}", path.parent)


PARSERS: dict[str, Parser] = {
    "ifcb": ifcb,
    "ifcb_labels": ifcb_labels,
    "mat": mat,
    "ecotaxa_table": ecotaxa_table,
    "ecotaxa_zip": ecotaxa_zip,
    "flowcam": flowcam,
    "csv_table": csv_table,
    "manifest_csv": manifest_csv,
    "manifest_parquet": manifest_parquet,
    "layouts": layouts,
    "zip_members": zip_members,
    "tar_members": tar_members,
}


def main() -> None:
    """Feed a parser for ever, or as long as libFuzzer is told."""
    name, top, *options = sys.argv[1:]
    parser, sound, work = PARSERS[name], Path(top) / "sound", Path(top) / "work"
    work.mkdir()
    number = itertools.count()

    def feed(data: bytes) -> None:
        folder = work / str(next(number))  # what was read is remembered by its path
        folder.mkdir()
        with contextlib.suppress(PlanktonDAError):
            parser(folder, data, sound)
        shutil.rmtree(folder)

    atheris.Setup([sys.argv[0], *options, str(Path(top) / "corpus")], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
