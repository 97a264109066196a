"""Class shares of unlabelled images, where the answer is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from plankton_da.evaluation.priors import correct_prior, estimate_prior, presumed_prior

FLAT = np.full(3, 1 / 3)


def two_valued(seen: float, hit: float = 0.8, false: float = 0.3) -> NDArray[np.float64]:
    """Exact posteriors under equal shares, of 1000 images of which a share ``seen`` shows a mark.

    The mark is there in ``hit`` of class 1 and in ``false`` of class 0.
    """
    with_mark, without = hit / (hit + false), (1 - hit) / (2 - hit - false)
    positive = np.where(np.arange(1000) < round(seen * 1000), with_mark, without)
    return np.stack([1 - positive, positive], axis=1)


@pytest.mark.parametrize("seen", [0.3, 0.35, 0.55, 0.75, 0.8])
def test_two_classes_and_one_mark_have_a_closed_form(seen: float) -> None:
    """seen = hit * share + false * (1 - share)."""
    share = (seen - 0.3) / (0.8 - 0.3)
    found = estimate_prior(two_valued(seen), [0.5, 0.5])
    np.testing.assert_allclose(found, [1 - share, share], atol=1e-3)


@pytest.mark.parametrize(("seen", "expected"), [(0.1, 0.0), (0.95, 1.0)])
def test_impossible_shares_end_at_the_border(seen: float, expected: float) -> None:
    assert estimate_prior(two_valued(seen), [0.5, 0.5])[1] == pytest.approx(expected, abs=1e-3)


def test_certain_predictions_are_counted() -> None:
    certain = np.eye(3)[[0, 0, 0, 0, 0, 0, 1, 1, 2, 2]]
    np.testing.assert_allclose(estimate_prior(certain, [0.2, 0.5, 0.3]), [0.6, 0.2, 0.2])


@pytest.mark.parametrize("mid", [[1, 1, 1], [0.6, 0.3, 0.1]])
def test_it_finds_the_shares_of_a_shifted_sample(mid: list[float]) -> None:
    """Three overlapping bells; posteriors by Bayes under mid's shares; the target's are others."""
    random = np.random.default_rng(0)
    truth = np.array([0.1, 0.2, 0.7])
    x = random.normal(np.repeat([-1.0, 0.0, 1.0], (truth * 20_000).astype(int)), 0.7)
    density = np.exp(-((x[:, None] - [-1.0, 0.0, 1.0]) ** 2) / (2 * 0.7**2))
    joint = density * np.array(mid)
    posteriors = joint / joint.sum(1, keepdims=True)
    assert np.abs(posteriors.mean(0) - truth).max() > 0.05, "counting would be wrong"
    np.testing.assert_allclose(estimate_prior(posteriors, mid), truth, atol=0.02)


def test_it_is_the_maximum_of_the_likelihood() -> None:
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(3), 200)
    mid = np.array([0.5, 0.3, 0.2])
    found = estimate_prior(probabilities, mid)

    def likelihood(prior: NDArray[np.float64]) -> float:
        return float(np.log(probabilities / mid @ prior).sum())

    for _ in range(200):
        other = 0.99 * found + 0.01 * random.dirichlet(np.ones(3))
        assert likelihood(other) <= likelihood(found) + 1e-6


def test_a_pseudocount_is_images_of_each_class() -> None:
    certain = np.eye(2)[[0, 0, 0, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(estimate_prior(certain, [0.5, 0.5], pseudocount=1), [0.9, 0.1])


def test_no_images_say_nothing() -> None:
    np.testing.assert_allclose(estimate_prior(np.empty((0, 2)), [3, 1]), [0.75, 0.25])
    np.testing.assert_allclose(estimate_prior([[np.nan, np.nan]], [3, 1]), [0.75, 0.25])


@pytest.mark.parametrize(
    ("probabilities", "mid"),
    [([[0.5, 0.5]], [1, 1, 1]), ([0.5, 0.5], [1, 1]), ([[0.5, 0.5]], [1, 0])],
)
def test_what_does_not_fit_is_refused(probabilities: list[list[float]], mid: list[float]) -> None:
    with pytest.raises(ValueError, match="got"):
        estimate_prior(probabilities, mid)


def test_correction_is_bayes_and_undoes_itself() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    target = np.array([0.1, 0.3, 0.6])
    corrected = correct_prior(probabilities, FLAT, target)
    joint = probabilities * target
    np.testing.assert_allclose(corrected, joint / joint.sum(1, keepdims=True))
    np.testing.assert_allclose(correct_prior(corrected, target, FLAT), probabilities)


def test_correction_never_divides_by_nothing() -> None:
    given = np.array([[1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_array_equal(
        correct_prior(given, [0.5, 0.5], [0.0, 1.0]), [[1.0, 0.0], [0.0, 1.0]]
    )


def test_the_mean_after_correction_is_the_estimate() -> None:
    """The fixed point of the expectation maximisation."""
    probabilities = np.random.default_rng(2).dirichlet([2, 1, 1], 500)
    found = estimate_prior(probabilities, FLAT)
    np.testing.assert_allclose(correct_prior(probabilities, FLAT, found).mean(0), found, atol=1e-5)


def test_the_presumed_prior_weighs_classes_as_training_did() -> None:
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.9, 0.1], [0.3, 0.7]])
    labels = [0, 0, 0, 1]
    by_class = np.array([[2.3 / 3, 0.7 / 3], [0.3, 0.7]])
    np.testing.assert_allclose(presumed_prior(probabilities, labels), by_class.mean(0))
    np.testing.assert_allclose(
        presumed_prior(probabilities, labels, [0.9, 0.1]), [0.9, 0.1] @ by_class
    )


def test_the_presumed_prior_takes_a_favoured_class_back() -> None:
    """A network that multiplies every odds by three: unseen, the estimate would be wrong."""
    probabilities = two_valued(0.55)
    favoured = correct_prior(probabilities, [0.5, 0.5], [0.25, 0.75])
    wrong = estimate_prior(favoured, [0.5, 0.5])
    balanced = np.concatenate([two_valued(0.3), two_valued(0.8)])
    validation = correct_prior(balanced, [0.5, 0.5], [0.25, 0.75])
    labels = np.repeat([0, 1], 1000)
    right = estimate_prior(favoured, presumed_prior(validation, labels))
    assert abs(wrong[1] - 0.5) > 0.1
    assert abs(right[1] - 0.5) < abs(wrong[1] - 0.5) / 2
