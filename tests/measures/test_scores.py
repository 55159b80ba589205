import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate, brier, error, nll
from ensemble_vs_dropout.measures.scores import accuracy, spherical, top_k_error

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
SCORES = (error, nll, brier, spherical)


def pool_and_labels(seed, members=4, examples=25, classes=4):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(classes, 0.5), (members, examples)) * 0.999 + 0.001 / classes
    return probs, rng.integers(classes, size=examples)


def test_scores_agree_with_scikit_learn_and_with_a_loop():
    probs, labels = pool_and_labels(0, examples=200)
    p = probs[0]
    assert nll(p, labels).mean() == pytest.approx(log_loss(labels, p, labels=range(4)), abs=1e-12)
    assert error(p, labels).mean() == pytest.approx(1 - accuracy_score(labels, p.argmax(axis=1)), abs=1e-12)
    by_hand = [sum((p[i, k] - (k == labels[i])) ** 2 for k in range(4)) for i in range(200)]
    np.testing.assert_allclose(brier(p, labels), by_hand, atol=1e-12)


@given(seed=seeds)
@few
def test_nll_of_the_mean_is_at_most_the_mean_nll_on_every_example(seed):
    probs, labels = pool_and_labels(seed)
    of_members = np.mean([nll(p, labels) for p in probs], axis=0)
    true = probs[:, np.arange(len(labels)), labels]
    gap = of_members - nll(aggregate(probs, "mean"), labels)
    assert (gap >= -1e-12).all()
    np.testing.assert_allclose(gap, np.log(true.mean(axis=0)) - np.log(true).mean(axis=0), atol=1e-10)


@given(seed=seeds)
@few
def test_nll_of_the_geometric_mean_is_the_mean_nll_less_the_mean_divergence(seed):
    probs, labels = pool_and_labels(seed)
    pooled = aggregate(probs, "geometric_mean")
    divergence = np.mean([(pooled * np.log(pooled / p)).sum(axis=1) for p in probs], axis=0)
    expected = np.mean([nll(p, labels) for p in probs], axis=0) - divergence
    np.testing.assert_allclose(nll(pooled, labels), expected, atol=1e-10)
    z = np.exp(np.log(probs).mean(axis=0)).sum(axis=1)
    np.testing.assert_allclose(divergence, -np.log(z), atol=1e-10)


@given(seed=seeds)
@few
def test_squared_error_of_the_weighted_mean_loses_exactly_the_spread(seed):
    probs, labels = pool_and_labels(seed)
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(probs)))
    pooled = aggregate(probs, "mean", weights)
    ambiguity = ((probs - pooled) ** 2).sum(axis=2)
    expected = weights @ np.array([brier(p, labels) for p in probs]) - weights @ ambiguity
    np.testing.assert_allclose(brier(pooled, labels), expected, atol=1e-10)


@given(seed=seeds)
@few
def test_brier_of_the_mean_is_the_mean_brier_less_the_ambiguity(seed):
    probs, labels = pool_and_labels(seed)
    pooled = aggregate(probs, "mean")
    expected = np.mean([brier(p, labels) for p in probs], axis=0) - ((probs - pooled) ** 2).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(brier(pooled, labels), expected, atol=1e-10)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_uniform_prediction_has_the_textbook_scores(classes):
    probs, labels = np.full((classes, classes), 1 / classes), np.arange(classes)
    np.testing.assert_allclose(nll(probs, labels), np.log(classes))
    np.testing.assert_allclose(brier(probs, labels), 1 - 1 / classes)
    np.testing.assert_allclose(error(probs, labels, ties="expected"), 1 - 1 / classes)
    np.testing.assert_array_equal(error(probs, labels), labels != 0)


def test_scores_at_certainty_are_the_ends_of_their_ranges():
    probs = np.eye(3)
    for score in SCORES:
        right = score(probs, np.arange(3))
        np.testing.assert_array_equal(right, 0)
        assert not np.signbit(right).any()
    np.testing.assert_array_equal(nll(probs, [1, 2, 0]), np.inf)
    np.testing.assert_array_equal(brier(probs, [1, 2, 0]), 2)
    np.testing.assert_array_equal(error(probs, [1, 2, 0]), 1)


def test_nll_is_infinite_only_where_the_true_class_has_probability_zero():
    assert np.isinf(nll([[0.0, 1.0], [0.0, 1.0], [1e-300, 1.0]], [0, 1, 0])).tolist() == [True, False, False]


def test_float32_probabilities_are_scored_in_float64():
    probs, labels = pool_and_labels(3)
    for score in SCORES:
        assert score(probs[0].astype(np.float32), labels).dtype == np.float64


@given(seed=seeds)
@few
def test_a_score_does_not_depend_on_the_other_examples(seed):
    probs, labels = pool_and_labels(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    for score in SCORES:
        np.testing.assert_array_equal(score(probs[0][order], labels[order]), score(probs[0], labels)[order])


def test_expected_ties_share_the_loss_among_the_highest_only():
    probs = [[0.4, 0.4, 0.2]] * 3
    np.testing.assert_allclose(error(probs, [0, 1, 2], ties="expected"), [0.5, 0.5, 1])
    np.testing.assert_allclose(error(probs, [0, 1, 2]), [0, 1, 1])


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("probs", "labels"),
    [
        ([[0.5, 0.5]], [0, 1]),
        ([0.5, 0.5], [0, 1]),
        (np.zeros((0, 2)), np.zeros(0, dtype=int)),
        ([[0.5, 0.5]], [2]),
        ([[0.5, 0.5]], [-1]),
        ([[0.5, 0.5]], [1.0]),
        ([[0.5, 0.5]], [[0, 1]]),
    ],
)
def test_pairs_that_do_not_fit_are_refused(score, probs, labels):
    with pytest.raises(InputError):
        score(probs, labels)


@given(seed=seeds, k=st.integers(1, 6))
@few
def test_top_k_error_agrees_with_scikit_learn_and_for_one_is_the_error(seed, k):
    probs, labels = pool_and_labels(seed, examples=30, classes=5)
    p = probs[0]
    np.testing.assert_array_equal(top_k_error(p, labels, 1), error(p, labels))
    if k < 5:
        expected = top_k_accuracy_score(labels, p, k=k, labels=range(5))
        assert 1 - top_k_error(p, labels, k).mean() == pytest.approx(expected)
    else:
        assert not top_k_error(p, labels, k).any()


def test_the_first_of_equal_probabilities_are_among_the_highest():
    assert top_k_error(np.full((4, 4), 0.25), np.arange(4), k=2).tolist() == [0, 0, 1, 1]


@given(seed=seeds)
@few
def test_spherical_score_is_proper(seed):
    rng = np.random.default_rng(seed)
    truth, other = rng.dirichlet(np.ones(3), 2)
    expected = [truth @ spherical(np.tile(p, (3, 1)), np.arange(3)) for p in (truth, other)]
    assert expected[0] <= expected[1] + 1e-12


def test_a_tie_policy_that_is_none_is_refused():
    with pytest.raises(InputError, match="unknown tie policy 'frist'"):
        error([[0.5, 0.5]], [0], ties="frist")


def test_accuracy_is_what_the_error_leaves():
    probs, labels = pool_and_labels(3)
    np.testing.assert_array_equal(accuracy(probs[0], labels) + error(probs[0], labels), 1)
