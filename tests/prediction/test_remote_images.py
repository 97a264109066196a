"""A manifest whose images are addresses is classified like one of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pandas as pd

from plankton_da.prediction.folder import classify

Draw = Callable[[Path, int], Path]


def test_images_elsewhere_get_the_rows_of_files(
    tiny_bundle: Path, draw: Draw, tmp_path: Path
) -> None:
    memory = fsspec.filesystem("memory")
    header = "object_id,image,instrument\n"
    files, addresses = header, header
    for n in range(6):
        memory.pipe(f"/lab/{n}.png", draw(tmp_path / f"{n}.png", n).read_bytes())
        files += f"id{n},{n}.png,CAM2\n"
        addresses += f"id{n},memory://lab/{n}.png,CAM2\n"
    (tmp_path / "files.csv").write_text(files)
    (tmp_path / "addresses.csv").write_text(addresses + "gone,memory://lab/gone.png,CAM2\n")
    tables = {}
    for name in ("files", "addresses"):
        out = tmp_path / f"{name}_P.csv"
        sort = tmp_path / f"{name}_sorted"
        summary = classify(
            tiny_bundle, [tmp_path / f"{name}.csv"], out, progress=False, sort_into=sort
        )
        tables[name] = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert summary.errors == {"missing": 1}
    columns = ["object_id", "label", "score"]
    assert tables["addresses"][columns][:6].equals(tables["files"][columns])
    assert tables["addresses"]["image"][0] == "memory://lab/0.png"
    sorted_files = [
        {p.relative_to(tmp_path / f"{name}_sorted"): p.read_bytes() for p in found}
        for name in tables
        if (found := [p for p in (tmp_path / f"{name}_sorted").rglob("*") if p.is_file()])
    ]
    assert len(sorted_files[0]) == 6
    assert sorted(sorted_files[0].values()) == sorted(sorted_files[1].values())
    again = classify(tiny_bundle, [tmp_path / "addresses.csv"], out, progress=False)
    assert again.classified == 0
