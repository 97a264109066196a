"""Which class a label is said to mean, and how sure that is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plankton_da.manifests.matching import Match, likeness, match_names
from plankton_da.manifests.names import Name, fold, lineage_of


def named(text: str, hierarchy: str = "", aphia_id: str = "") -> Name:
    return Name(text, 1, lineage_of(text, hierarchy), aphia_id)


def match(label: Name | str, *classes: Name | str) -> Match | None:
    names = [name if isinstance(name, Name) else named(name) for name in (label, *classes)]
    return match_names(names[:1], names[1:])[0]


@pytest.mark.parametrize(
    ("label", "wanted", "how"),
    [
        ("copepod", "copepod", "exact"),
        ("NA", "NA", "exact"),
        ("Copepod Calanoid", "copepod_calanoid", "folded"),
        ("fecalPellet", "fecal-pellet", "folded"),
        ("méduse", "Meduse", "folded"),
        ("egg_other", "egg<other", "folded"),  # the folder of an export
        ("living>Crustacea>Copepoda", "Copepoda", "hierarchy"),
        ("Copepoda", "living>Crustacea>Copepoda", "hierarchy"),
        ("egg<other", "Biota>other>egg", "hierarchy"),
        ("living>Crustacea>Copepoda>egg", "egg<Copepoda", "hierarchy"),
    ],
)
def test_what_is_sure(label: str, wanted: str, how: str) -> None:
    others = ["siphonophore", "Chaetognatha", "detritus"]
    assert match(label, *others, wanted) == Match(wanted, how, 100.0)


@pytest.mark.parametrize(
    ("label", "classes", "wanted", "how", "doubt"),
    [
        ("egg<Copepoda", ["egg"], "egg", "hierarchy", "other parents or none"),
        ("living>A>egg", ["living>B>egg"], "living>B>egg", "hierarchy", "other parents"),
        ("copepod", ["Copepod", "COPEPOD"], "Copepod", "folded", "2 classes fit"),
        ("a>Copepoda>Calanoida", ["Copepoda", "a"], "Copepoda", "ancestor", "part of 'Copepoda'"),
        ("nauplii<Crustacea", ["Crustacea", "larva"], "Crustacea", "ancestor", "merge it?"),
        ("euphausiids", ["euphausiid", "mysid"], "euphausiid", "near", "similar name only"),
        ("copepod_oithona", ["Oithona", "Acartia"], "Oithona", "near", "similar name only"),
        ("ctenophore_cestid", ["Ctenophora", "Radiolaria"], "Ctenophora", "near", "similar"),
    ],
)
def test_what_somebody_has_to_confirm(
    label: str, classes: list[str], wanted: str, how: str, doubt: str
) -> None:
    found = match(label, *classes)
    assert found is not None
    assert (found.class_name, found.how) == (wanted, how)
    assert doubt in found.doubt


@pytest.mark.parametrize("label", ["detritus_other", "copepod_other", "Dot", "x"])
def test_a_common_word_or_a_few_letters_make_no_pair(label: str) -> None:
    assert match(label, "protist_other", "doliolid", "Acartia") is None


def test_a_label_that_nothing_was_found_for() -> None:
    assert match("copepod") is None
    assert match_names([], [named("a")]) == []


def test_an_aphia_id_pairs_names_that_have_nothing_in_common() -> None:
    larvacea = named("Larvacea", aphia_id="17446")
    found = match(larvacea, "Radiolaria", named("appendicularian", aphia_id="17446"))
    assert found == Match("appendicularian", "aphia_id", 100.0)


def test_the_same_name_of_two_taxa_is_doubtful() -> None:
    found = match(named("Ceratium", aphia_id="1"), named("Ceratium", aphia_id="2"))
    assert found is not None
    assert found.doubt == "AphiaID 1 of the label, 2 of the class"


def test_two_labels_with_the_same_end_are_doubtful_both() -> None:
    labels = [named("living>Copepoda>egg"), named("living>Actinopterygii>egg")]
    found = match_names(labels, [named("egg")])
    assert all(each is not None and "other parents or none" in each.doubt for each in found)


def test_the_other_candidates_are_named() -> None:
    found = match("Radiolarian", "radiolarian_chain", "radiolarian_colony", "detritus")
    assert found is not None
    assert (found.class_name, found.others) == ("radiolarian_chain", ("radiolarian_colony",))


def test_the_nearest_ancestor_wins() -> None:
    found = match("living>Copepoda>Calanoida>Acartia", "Copepoda", "Calanoida", "living")
    assert found is not None
    assert found.class_name == "Calanoida"


def test_likeness_is_a_score_and_the_same_from_both_sides() -> None:
    names = ["copepod_calanoid", "Oithona", "living thing", "x", "???"]
    scores = likeness(names, names)
    assert scores.shape == (5, 5)
    assert scores.diagonal().tolist() == [100.0] * 5
    assert (scores == scores.T).all()
    assert (scores >= 0).all()


@pytest.mark.parametrize(
    ("text", "folded"),
    [("Détritus_Fin", "detritusfin"), ("type 1_1", "type1_1"), ("a_1", "a1"), ("???", "???")],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_numbers_side_by_side_are_not_joined() -> None:
    assert fold("type_1_1") != fold("type_11")


_NAMES = st.lists(st.text(min_size=1, max_size=12), max_size=6, unique=True)


@settings(max_examples=100, deadline=None)
@given(_NAMES, _NAMES)
def test_any_names_at_all(labels: list[str], classes: list[str]) -> None:
    found = match_names([named(name) for name in labels], [named(name) for name in classes])
    assert len(found) == len(labels)
    for label, match in zip(labels, found, strict=True):
        if label in classes:
            assert match == Match(label, "exact", 100.0)
        elif match is not None:
            assert match.class_name in classes
            assert 0 < match.score <= 100
            assert match.doubt or match.how in ("folded", "hierarchy")
