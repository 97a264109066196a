"""Tables of a config that are not there, or not what they should be: said at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from plankton_da.config import DataConfig
from plankton_da.errors import ManifestError
from plankton_da.manifests.glance import glance

HEADER = "object_id,image,instrument"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mid.csv").write_text(f"{HEADER},label\n")
    (tmp_path / "target.csv").write_text(f"{HEADER}\nrows are,not,looked,at\n")
    (tmp_path / "t.csv").write_text("label,class,note\n")
    return tmp_path


def said(**data: object) -> list[str]:
    with pytest.raises(ManifestError) as error:
        glance(DataConfig.model_validate({"mid": "mid.csv", "target": "target.csv", **data}))
    return str(error.value).splitlines()


def test_headers_that_suffice(folder: Path) -> None:
    pd.DataFrame(columns=[*HEADER.split(","), "label"]).to_parquet("m.parquet")
    data = {"mid": ["mid.csv", "m.parquet"], "target": "target.csv", "taxonomy": "t.csv"}
    glance(DataConfig.model_validate(data))


def test_all_that_is_wrong_is_listed(folder: Path) -> None:
    (folder / "half.parquet").write_bytes(b"PAR1")
    (folder / "semicolons.csv").write_text("object_id;image;instrument\n")
    lines = said(
        mid=["mid.cvs", "absent.csv"],
        target=["half.parquet", "semicolons.csv"],
        target_labelled="target.csv",
        audit="t.csv",
        taxonomy="mid.csv",
    )
    found = "\n".join(lines)
    assert "mid.cvs: a table is .csv or .parquet; found the suffix '.cvs'" in found
    assert "absent.csv: no such file; correct the path" in found
    assert "half.parquet: is not a whole Parquet file" in found
    assert "semicolons.csv, line 1: the columns are separated by semicolons" in found
    assert "target.csv, line 1, column label: this column is needed to learn from" in found
    assert "t.csv, line 1, column object_id: this column is required and not there" in found
    assert "mid.csv, line 1, column class: this column is required and not there" in found


def test_train_says_it_without_torch(folder: Path) -> None:
    (folder / "c.yaml").write_text(
        "data: {mid: mid.csv, target: tagret.csv}\nmethod: {name: dann}\noutput_dir: run\n"
    )
    script = (
        "import sys\n"
        "from plankton_da.cli import run\n"
        "sys.argv = ['plankton-da', 'train', 'c.yaml']\n"
        "try:\n    run()\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 3, ended.code\n"
        "    assert not {'torch', 'timm', 'mlflow'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tagret.csv: no such file" in done.stderr
    assert not (folder / "run").exists()
