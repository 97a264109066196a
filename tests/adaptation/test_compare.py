"""A choice among runs: by audit labels, else by agreement behind a gate, never by the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from plankton_da.adaptation.compare import compare, comparison_text
from plankton_da.errors import DataError

CLASSES = ["copepod", "snow", "jelly"]


def run_of(
    folder: Path,
    predicted: list[int],
    *,
    mid: float | None = 0.8,
    audit: float | None = None,
    oracle: float | None = None,
    effective: float = 3.0,
    classes: list[str] = CLASSES,
    first: int = 0,
) -> Path:
    """A finished run whose network places image k in class ``predicted[k]``, surely."""
    folder.mkdir()
    entry: dict[str, Any] = {
        "step": 40,
        "mid_macro_recall": mid,
        "audit_macro_recall": audit,
        "oracle_macro_recall": oracle,
        "infomax": 0.5,
        "effective_classes": effective,
        "mid_effective_classes": 3.0,
    }
    worse = {**entry, "step": 20, "mid_macro_recall": 0.0}
    config = {"method": {"name": "mcc"}, "seed": 7}
    for name, document in {
        "history": [worse, entry],
        "result": {"selected_step": 40},
        "run": {"config": config},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    probabilities = np.eye(len(classes))[predicted] * 0.9 + 0.1 / len(classes)
    table = pd.DataFrame(probabilities, columns=classes)
    table.insert(0, "object_id", [str(first + number) for number in range(len(predicted))])
    table.insert(0, "instrument", "NEW")
    table.to_parquet(folder / "target_predictions.parquet", index=False)
    return folder


def test_the_run_that_agrees_most_with_the_mean_prediction_is_chosen(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "a", [0, 1, 2, 0], oracle=0.9),
        run_of(tmp_path / "b", [0, 1, 1, 1], oracle=0.1),
        run_of(tmp_path / "c", [0, 1, 1, 0], oracle=0.2),
    ]
    found = compare(runs)
    # the mean of the three places the images in 0, 1, 1, 0
    assert [row["agreement"] for row in found.runs] == [0.75, 0.75, 1.0]
    assert found.chosen == str(runs[2])
    assert [row["step"] for row in found.runs] == [40, 40, 40]


def test_rows_are_matched_by_name_and_columns_by_class(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "a", [0, 1, 2, 0]),
        run_of(tmp_path / "b", [2, 0, 1, 2], classes=["snow", "jelly", "copepod"]),
        run_of(tmp_path / "c", [1, 2, 0, 1], first=1),
    ]
    assert [row["agreement"] for row in compare(runs).runs] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("why", ["gate", "collapsed"])
def test_a_run_that_forgot_mid_or_collapsed_is_left_out(tmp_path: Path, why: str) -> None:
    spoilt = {"mid": 0.74} if why == "gate" else {"effective": 1.4}
    runs = [
        run_of(tmp_path / "a", [0, 0, 0, 0], **spoilt),  # type: ignore[arg-type]
        run_of(tmp_path / "b", [0, 0, 0, 0], **spoilt),  # type: ignore[arg-type]
        run_of(tmp_path / "c", [0, 1, 2, 0]),
    ]
    found = compare(runs)
    assert found.chosen == str(runs[2])
    assert "2 left out" in found.why


def test_audit_labels_decide_where_every_run_has_them(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "a", [0, 1, 2, 0], audit=0.5),
        run_of(tmp_path / "b", [0, 1, 2, 0], audit=0.4),
        run_of(tmp_path / "c", [2, 2, 2, 2], audit=0.6, mid=0.5),
    ]
    assert compare(runs).chosen == str(runs[2])
    runs.append(run_of(tmp_path / "d", [0, 1, 2, 0]))
    assert compare(runs).chosen == str(runs[0])


def test_target_labels_change_no_choice(tmp_path: Path) -> None:
    chosen = set()
    for name, oracles in {"x": (0.1, 0.9), "y": (0.9, 0.1)}.items():
        runs = [
            run_of(tmp_path / f"{name}{number}", [0, 1, number, 0], oracle=oracle)
            for number, oracle in enumerate(oracles)
        ]
        chosen.add(Path(compare(runs).chosen).name[1:])
    assert len(chosen) == 1


def test_the_table_keeps_the_oracle_apart_and_marks_the_choice(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "a", [0, 1, 2, 0], oracle=0.25),
        run_of(tmp_path / "b", [0, 1, 2, 0]),
    ]
    lines = comparison_text(compare(runs)).splitlines()
    assert lines[0].split("|")[1].split() == ["oracle"]
    assert lines[1].startswith("* ")
    assert lines[1].split("|")[1].split() == ["0.250"]
    assert lines[2].split("|")[1].split() == ["-"]
    assert "shown and not used" in lines[3]


def test_what_is_no_finished_run_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path / "a", [0])
    (run / "result.json").unlink()
    with pytest.raises(DataError, match=r"no finished run \(result.json is not there\)"):
        compare([run])


def test_runs_of_other_classes_or_cameras_are_not_compared(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", [0, 1])
    with pytest.raises(DataError, match="other classes"):
        compare([first, run_of(tmp_path / "b", [0, 1], classes=["copepod", "snow"])])
    with pytest.raises(DataError, match="no target image in common"):
        compare([first, run_of(tmp_path / "c", [0, 1], first=10)])
