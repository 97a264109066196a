"""``export`` and ``manifest check-ecotaxa`` as users type them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]


@pytest.fixture
def classified(command: Run, drawn_lab: Path, finished_run: Path, tmp_path: Path) -> Path:
    """``P.csv`` of some drawn images, one of them cut short."""
    inputs = tmp_path / "in"
    inputs.mkdir()
    images = sorted((drawn_lab / "archive" / "target").rglob("*.png"))[:4]
    for number, image in enumerate(images):
        (inputs / f"{number}.png").write_bytes(image.read_bytes())
    (inputs / "cut.png").write_bytes(images[0].read_bytes()[:100])
    done = command("classify", finished_run / "bundle", inputs, "--out", "P.csv")
    assert done.returncode == 5
    return tmp_path / "P.csv"


def test_classify_export_check_build(command: Run, classified: Path, tmp_path: Path) -> None:
    done = command("export", classified, "--format", "ecotaxa", "--out", "cruise.zip")
    assert done.returncode == 5
    assert done.stdout == "cruise.zip\n4 rows written\n"
    assert done.stderr.startswith("not exported: cut.png: truncated: ")
    assert "1 row of" in done.stderr
    checked = command("manifest", "check-ecotaxa", "cruise.zip")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "1 table(s), 4 rows: EcoTaxa's importer should take it" in checked.stdout
    words = ("manifest", "build", "ecotaxa", "cruise.zip", "--instrument", "DARK")
    built = command(*words, "--all-labels", "--out", "M.csv")
    assert built.returncode == 0, built.stderr
    run = json.loads((tmp_path / "P.run.json").read_text())
    text = (tmp_path / "M.csv").read_text()
    assert text.count(run["options"]["model"][:12]) == 4


def test_failures_may_be_allowed_and_json_names_them_all(command: Run, classified: Path) -> None:
    words = ("export", classified, "--format", "ecotaxa", "--out", "x.zip")
    done = command(*words, "--allow-failures", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["files"], told["rows"]) == (["x.zip"], 4)
    assert [each["object_id"] for each in told["skipped"]] == ["cut.png"]
    again = command(*words)
    assert again.returncode == 2
    assert "x.zip: exists already; add --overwrite" in again.stderr


def test_csv_keeps_failed_images(command: Run, classified: Path, tmp_path: Path) -> None:
    words = ("export", classified, "--format", "csv", "--out", "t.csv")
    done = command(*words, "--columns", "object_id,error")
    assert done.returncode == 0
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "object_id,error"
    assert lines[-1].startswith('cut.png,"truncated: ')


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--format", "ecotax", "--out", "x.zip"), 2, "did you mean ecotaxa?"),
        (("--format", "csv", "--out", "x.csv", "--update-only"), 2, "takes no --update-only"),
        (("--format", "csv", "--out", "P.csv", "--overwrite"), 2, "is the predictions file itself"),
        (("--format", "ecotaxa", "--out", "x"), 2, "ends in .zip"),
        (
            ("--format", "ecotaxa", "--out", "x.zip", "--taxonomy", "T.csv"),
            3,
            "T.csv: no such file",
        ),
    ],
)
def test_mistakes(
    command: Run, classified: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    before = classified.read_bytes()
    done = command("export", "P.csv", *words)
    assert done.returncode == code
    assert message in done.stderr
    assert classified.read_bytes() == before


def test_a_manifest_is_no_predictions_file(command: Run, drawn_lab: Path) -> None:
    done = command("export", drawn_lab / "mid.csv", "--format", "csv", "--out", "x.csv")
    assert done.returncode == 3
    assert "mid.csv, line 1, column score: this column is required" in done.stderr


def test_the_formats_are_listed(command: Run) -> None:
    done = command("list", "exports", "--json")
    found = {each["name"]: each for each in json.loads(done.stdout)}
    assert {"csv", "ecotaxa"} <= set(found)
    assert found["csv"]["options"] == ["--columns"]
    assert "options: --max-mb, --taxonomy, --update-only" in command("list", "exports").stdout


def test_a_bad_bundle_is_refused_with_every_reason(command: Run, tmp_path: Path) -> None:
    rows = ["object_id\timg_file_name\tarea", "[t]\t[t]\t[f]", "a\tgone.png\t1", "\tgone.png\t2"]
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("ecotaxa_bad.tsv", "\n".join(rows))
    done = command("manifest", "check-ecotaxa", "bad.zip")
    assert done.returncode == 3
    assert "1 table(s), 2 rows: 4 problem(s)" in done.stdout
    for words in ("line 1, column area", "lines 3, 4, column img_file_name", "line 4, column obj"):
        assert words in done.stderr
    told = json.loads(command("manifest", "check-ecotaxa", "bad.zip", "--json").stdout)
    assert told["ok"] is False
    assert len(told["bundles"][0]["problems"]) == 4


def test_a_full_disk_leaves_nothing(classified: Path, tmp_path: Path) -> None:
    """A limit on the size of files fails like a full disk does, at a byte in the middle."""
    program = f"""
        import resource, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        sys.argv = ["plankton-da", "export", {str(classified)!r}, "--format", "ecotaxa"]
        sys.argv += ["--out", {str(tmp_path / "x.zip")!r}]
        from plankton_da.cli import main
        main()
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "x.zip: cannot be written: no space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if "x.zip" in path.name] == []
