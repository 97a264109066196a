"""Division of rows: claims that hold for any table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plankton_da.errors import UsageError
from plankton_da.manifests.columns import SPLITS, TEXT
from plankton_da.manifests.splits import mid_split, split_manifest

ratios = st.sampled_from(
    [(70.0, 15.0, 15.0), (85.0, 15.0, 0.0), (1.0, 1.0, 1.0), (0.1, 0.5, 0.4), (60.0, 0.0, 40.0)]
)
seeds = st.integers(0, 5)


def of_labels(counts: list[int]) -> pd.DataFrame:
    labels = [f"class {number}" for number, count in enumerate(counts) for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(labels))
    return pd.DataFrame({"label": [labels[i] for i in order]}, dtype=TEXT)


@st.composite
def grouped(draw: st.DrawFn, ungrouped: bool = True) -> pd.DataFrame:
    names = ["g1", "g2", "g3", "g4", "g5", "g6", "g7"] + [""] * ungrouped
    row = st.tuples(st.sampled_from(["a", "b", "c", ""]), st.sampled_from(names))
    rows = draw(st.lists(row, min_size=1, max_size=60))
    return pd.DataFrame(rows, columns=["label", "group"], dtype=TEXT)


def shares_of(ratios: tuple[float, float, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(ratios) / sum(ratios)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), ratios, seeds)
def test_without_groups_every_label_has_its_share(
    counts: list[int], ratios: tuple[float, float, float], seed: int
) -> None:
    table = of_labels(counts)
    split = split_manifest(table, ratios, seed)
    assert split.index.equals(table.index)
    found = pd.crosstab(table["label"], split).reindex(columns=list(SPLITS), fill_value=0)
    for label, count in enumerate(counts):
        distance = found.loc[f"class {label}"].to_numpy() - shares_of(ratios) * count
        assert np.abs(distance).max() <= 2
    assert (found["train"] > 0).all()
    assert not found.to_numpy()[:, shares_of(ratios) == 0].any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(20, 60), min_size=1, max_size=12), ratios, seeds)
def test_without_groups_the_whole_has_its_share(
    counts: list[int], ratios: tuple[float, float, float], seed: int
) -> None:
    split = split_manifest(of_labels(counts), ratios, seed)
    found = np.array([(split == name).sum() for name in SPLITS])
    assert np.abs(found - shares_of(ratios) * sum(counts)).max() <= 1


def test_many_rare_labels_still_fill_val() -> None:
    split = split_manifest(of_labels([3] * 100), (85, 15, 0), seed=0)
    assert (split == "val").sum() == 45
    assert (split == "test").sum() == 0


@settings(max_examples=50, deadline=None)
@given(grouped(), ratios, seeds)
def test_no_group_is_split_and_no_label_is_missing_in_train(
    table: pd.DataFrame, ratios: tuple[float, float, float], seed: int
) -> None:
    split = split_manifest(table, ratios, seed)
    assert set(split) <= {name for name, share in zip(SPLITS, ratios, strict=True) if share}
    in_groups = table["group"] != ""
    assert (split[in_groups].groupby(table["group"][in_groups]).nunique() == 1).all()
    assert set(table["label"][split == "train"]) == set(table["label"])
    pd.testing.assert_series_equal(split, split_manifest(table, ratios, seed))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=20), ratios, seeds)
def test_groups_of_one_label_come_within_the_biggest_group_of_the_ratios(
    sizes: list[int], ratios: tuple[float, float, float], seed: int
) -> None:
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    table = pd.DataFrame({"label": "a", "group": groups}, dtype=TEXT)
    split = split_manifest(table, ratios, seed)
    excess = np.array([(split == name).sum() for name in SPLITS]) - shares_of(ratios) * len(table)
    assert excess.max() <= max(sizes)


@settings(max_examples=30, deadline=None)
@given(grouped(ungrouped=False), ratios, seeds)
def test_no_move_of_one_group_would_come_nearer_to_the_ratios(
    table: pd.DataFrame, ratios: tuple[float, float, float], seed: int
) -> None:
    split = split_manifest(table, ratios, seed)

    def distance(tried: pd.Series[str]) -> float:
        """Squared distance from the shares over the label's rows; all labels as one, too."""
        total = 0.0
        for label in [*table["label"].unique(), None]:
            rows = tried if label is None else tried[table["label"] == label]
            found = np.array([(rows == name).sum() for name in SPLITS])
            total += float(((found - shares_of(ratios) * len(rows)) ** 2).sum() / len(rows))
        return total

    here = distance(split)
    for group in table["group"].unique():
        for name, share in zip(SPLITS, ratios, strict=True):
            if share:
                tried = split.where(table["group"] != group, name)
                if set(table["label"][tried == "train"]) == set(table["label"]):
                    assert distance(tried) > here - 1e-6


def test_the_seed_matters() -> None:
    table = of_labels([50, 50])
    first, second = (split_manifest(table, (70, 15, 15), seed) for seed in (0, 1))
    assert (first != second).any()


def test_group_may_be_another_column_or_none() -> None:
    table = of_labels([30, 30]).assign(cruise=["x", "y", "z"] * 20, group="all")
    split = split_manifest(table, (1, 1, 1), 0, group="cruise")
    assert (split.groupby(table["cruise"]).nunique() == 1).all()
    assert split.nunique() == 3
    assert split_manifest(table, (1, 1, 1), 0).nunique() == 1
    assert split_manifest(table, (1, 1, 1), 0, group=None).nunique() == 3


@pytest.mark.parametrize(
    "wrong", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1), (float("inf"), 1, 1)]
)
def test_impossible_ratios(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="70,15,15"):
        split_manifest(of_labels([3]), wrong, 0)


def test_mid_split_keeps_what_is_divided_and_divides_the_rest() -> None:
    table = of_labels([100, 100])
    table["split"] = pd.Series(["test"] * 40 + [""] * 160, dtype=TEXT)
    divided = mid_split(table, seed=0)
    assert (divided["split"][:40] == "test").all()
    counts = divided["split"][40:].value_counts()
    assert counts["train"] == 136
    assert counts["val"] == 24
    assert (table["split"][40:] == "").all()
    assert divided.dtypes["split"] == TEXT


def test_mid_split_without_the_column() -> None:
    assert mid_split(of_labels([20]), 0)["split"].value_counts().to_dict() == {
        "train": 17,
        "val": 3,
    }


@settings(max_examples=30, deadline=None)
@given(grouped(), seeds, st.data())
def test_mid_split_never_splits_a_group(
    table: pd.DataFrame, seed: int, data: st.DataObject
) -> None:
    names = table["group"].unique().tolist()
    known = {name: data.draw(st.sampled_from(["", *SPLITS])) for name in names if name}
    hidden = data.draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table)))
    given_ = [known.get(group, "") for group in table["group"]]
    table["split"] = pd.Series(
        ["" if hide else split for hide, split in zip(hidden, given_, strict=True)], dtype=TEXT
    )
    divided = mid_split(table, seed)
    in_groups = table["group"] != ""
    assert (divided["split"][in_groups].groupby(table["group"][in_groups]).nunique() == 1).all()
    assert set(divided["split"]) <= set(SPLITS)
    kept = table["split"] != ""
    assert (divided["split"][kept] == table["split"][kept]).all()
