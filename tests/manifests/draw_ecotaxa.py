"""Archives built like those that EcoTaxa takes and gives: structure and faults, drawn images.

    python tests/manifests/draw_ecotaxa.py FOLDER

writes all of them, each under its name in ``ARCHIVES``.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FOOTER_PX = 31

Rows = Sequence[Sequence[str]]


def table(
    columns: Sequence[str],
    rows: Rows,
    *,
    types: Sequence[str] | None = ("[t]",),
    quoted: bool = False,
    line_end: str = "\n",
    encoding: str = "utf-8",
) -> bytes:
    """A table's bytes; ``types`` are repeated to the width, None leaves the second row out."""
    second = [] if types is None else [list(types) * (len(columns) // len(types) or 1)]
    lines = [list(columns), *second, *map(list, rows)]
    mark = '"' if quoted else ""
    text = line_end.join("\t".join(f"{mark}{cell}{mark}" for cell in line) for line in lines)
    return (text + line_end).encode(encoding)


def picture(
    seed: int = 0, *, footer: bool = False, white: bool = True, suffix: str = "png"
) -> bytes:
    """A blob on plain ground; ``footer`` adds the scale bar that EcoTaxa draws below it.

    The bar is 4 rows above the lower edge with ends that bend down, the words begin 16 above it.
    """
    rng = np.random.default_rng(seed)
    ground, ink = (254, 0) if white else (0, 255)
    height, width = (int(side) for side in rng.integers(40, 90, 2))
    image = Image.new("L", (width, height), ground)
    left, top = (int(side) for side in rng.integers(2, 12, 2))
    ImageDraw.Draw(image).ellipse((left, top, left + 22, top + 16), fill=abs(ground - 90))
    if footer:
        whole = Image.new("L", (width, height + FOOTER_PX), ground)
        whole.paste(image)
        draw = ImageDraw.Draw(whole)
        low = height + FOOTER_PX - 4
        draw.line([(9, low + 2), (9, low), (36, low), (36, low + 2)], fill=ink)
        draw.text((10, low - 14), "2 mm", fill=ink)
        image = whole
    stream = io.BytesIO()
    image.save(stream, {"jpg": "jpeg"}.get(suffix, suffix))
    return stream.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip's bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _flatbed_bundle() -> dict[str, bytes]:
    columns = [
        "object_id",
        "object_time",
        "object_annotation_status",
        "object_annotation_category",
        "object_annotation_category_id",
        "img_file_name",
        "img_rank",
        "sample_id",
        "process_id",
        "process_pixel",
        "acq_id",
    ]

    def row(tow: str, number: int) -> list[str]:
        status = "validated" if number < 3 else "predicted"
        kind = ("egg<other", "85078") if number % 2 else ("detritus", "84963")
        name = f"{tow}_{number}"
        rest = [f"{name}.jpg", "0", tow, f"p_{tow}", "10.6", f"a_{tow}"]
        return [name, "420", status, *kind, *rest]

    members: dict[str, bytes] = {}
    for tow, count in (("tow1", 5), ("tow2", 3)):
        rows = [row(tow, number) for number in range(count)]
        members |= {f"{tow}/{each[5]}": picture(at, suffix="jpg") for at, each in enumerate(rows)}
        members[f"{tow}/ecotaxa_{tow}.tsv"] = table(columns, rows)
    members["tow1/.~lock.ecotaxa_tow1.tsv#"] = b",somebody,here,18.03.2020 14:31,file;"
    return {"flatbed.zip": zipped(members)}


def _doi_export() -> dict[str, bytes]:
    columns = [
        "object_id",
        "object_annotation_status",
        "object_annotation_category",
        "object_annotation_hierarchy",
        "img_file_name",
        "img_rank",
        "sample_id",
    ]
    rows = [
        ["one", "predicted", "egg<other", "living>other>egg", "images/egg_other/13_0.jpg", "0"],
        ["one", "predicted", "egg<other", "living>other>egg", "images/egg_other/13_1.jpg", "1"],
        ["two", "validated", "Oithona", "living>Copepoda>Oithona", "images/Oithona/2_0.jpg", "0"],
    ]
    rows = [[*row, "tow1"] for row in rows]
    files = {row[4]: picture(7, suffix="jpg") for row in rows}
    name = "ecotaxa_export_1_20210530_1122.tsv"
    return {name: table(columns, rows, types=None, quoted=True, encoding="utf-8-sig")} | files


def _uvp6_members() -> dict[str, bytes]:
    columns = ["img_file_name", "img_rank", "object_id", "object_lat", "acq_pixel", "sample_id"]
    names = [f"sub{1 + at // 3}/20200205-11182{at}_1.png" for at in range(5)]
    rows = [[n, "1", n[5:-4], "43°0 0", "73", "b_da_19"] for n in names]
    members = {name: picture(at, white=False) for at, name in enumerate(names)}
    members["ecotaxa_b_da_19.tsv"] = table(columns, rows, encoding="latin-1")
    members["compute_vignette.txt"] = b"[vignette]\r\ninvert=y\r\nfooterheight_px=31\r\n"
    return members


def _zooscan_export() -> dict[str, bytes]:
    columns = [
        "img_file_name",
        "img_rank",
        "object_id",
        "object_annotation_status",
        "object_annotation_category",
        "sample_id",
        "process_particle_pixel_size_mm",
    ]
    statuses = ("validated", "predicted", "dubious")
    rows = [
        [f"0_d1_{at}.jpg", "0", f"0_d1_{at}", statuses[at % 3], "fiber<detritus", "0", "0.0106"]
        for at in range(12)
    ]
    members = {f"0/{r[0]}": picture(at, footer=True, suffix="jpg") for at, r in enumerate(rows)}
    members["0/ecotaxa_0.tsv"] = table(columns, rows, quoted=True, encoding="utf-8-sig")
    return {"export.zip": zipped(members)}


def _loki() -> dict[str, bytes]:
    names = [f"20200108 08072{at}  764  000001 0702 1167.png" for at in range(3)]
    rows = [["1.5", name, name[:-4], "loki10001.02", "20200108"] for name in [*names, "gone.png"]]
    columns = ["object_area", "img_file_name", "object_id", "acq_id", "object_date"]
    types = ["[f]", "[t]", "[t]", "[t]", "[f]"]
    files = {names[0]: picture(0), names[1]: picture(1)[:-60], names[2]: b"no picture at all"}
    return {"ecotaxa.PS122.txt": table(columns, rows, types=types, quoted=True)} | files


def _faulty() -> dict[str, bytes]:
    columns = ["img_file_name", "object_id", "object_annotation_status", "acq_id"]
    good = ["a.png", "good", "validated", "acq"]
    faults: dict[str, bytes] = {
        "carriage_returns": table(columns, [good], types=["[t]", "[n]"], line_end="\r"),
        "short_row": table(columns, [good[:3]]),
        "long_row": table(columns, [good, [*good, "extra"], ["a.png", "second", "", ""]]),
        "two_of_four": table(columns, [good, ["a.png", "x"], ["a.png"]]),
        "twice": table(columns, [good, good]),
        "header_only": table(columns, [], types=["[t]", "[f]", ""]),
        "empty": b"",
        "bad_status": table(columns, [[*good[:2], "predit", "acq"]], types=["[H]", "", "[t]"]),
        "no_id": table(columns, [["a.png", " ", "validated", "acq"], good]),
        "no_image": table(columns, [["gone.png", "x", "", ""], ["", "y", "", ""], good]),
        "open_quote": table(columns, [['"a.png', "x", "", ""], good]),
        "no_columns": b"object;img\n1;2\n",
        "utf16": table(columns, [["a.png", "Müll", "validated", "acq"]], encoding="utf-16"),
        "damaged_utf16": table(columns, [good], encoding="utf-16")[:-1],
        "latin1": table(columns, [["a.png", "Müll", "validated", "acq"]], encoding="latin-1"),
        "utf8": table(columns, [["a.png", "Müll", "validated", "acq"]]),
        "binary": bytes(range(256)) * 40,
    }
    files = {f"{name}/ecotaxa_{name}.tsv": data for name, data in faults.items()}
    return files | {f"{name}/a.png": picture(3) for name in faults}


ARCHIVES: dict[str, Callable[[], dict[str, bytes]]] = {
    "flatbed": _flatbed_bundle,
    "doi": _doi_export,
    "uvp6": lambda: {"b_da_19_Images.zip": zipped(_uvp6_members())},
    "uvp6_nested": lambda: {"all.zip": zipped({"b_da_19_Images.zip": zipped(_uvp6_members())})},
    "zooscan": _zooscan_export,
    "loki": _loki,
    "faulty": _faulty,
}


def write(name: str, folder: Path) -> Path:
    """Write the files of one archive into ``folder/name``, and return that folder."""
    for below, data in ARCHIVES[name]().items():
        path = folder / name / below
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / name


if __name__ == "__main__":
    for each in ARCHIVES:
        sys.stdout.write(f"{write(each, Path(sys.argv[1]))}\n")
