"""Rules that are learned: the optimum, the greedy choice and stacking, against brute force and a second opinion."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import METRICS, Metric, Stacking, aggregate, fit_weights, nll, select_members


def members_of(seed, members=4, examples=300, classes=3):
    """Members of different skill, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=examples)
    skill = rng.uniform(0.2, 2.0, size=members)
    logits = rng.normal(size=(members, examples, classes)) + skill[:, None, None] * np.eye(classes)[labels]
    exps = np.exp(logits)
    return exps / exps.sum(axis=2, keepdims=True), labels


def loss(weights, probs, labels):
    return nll(aggregate(probs, "mean", weights), labels).mean()


@pytest.mark.parametrize("seed", range(5))
def test_fitted_weights_have_the_lowest_log_loss_there_is(seed):
    probs, labels = members_of(seed)
    found = fit_weights(probs, labels, tolerance=1e-6)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)

    def of_softmax(z):
        weights = np.exp(z - z.max())
        return loss(weights / weights.sum(), probs, labels)

    other = minimize(of_softmax, np.zeros(len(probs)), method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-6})
    assert loss(found, probs, labels) <= other.fun + 2e-6


def test_fitted_weights_are_never_worse_than_equal_ones_and_stop_within_their_tolerance():
    probs, labels = members_of(7)
    best = loss(fit_weights(probs, labels, tolerance=1e-8), probs, labels)
    rough = loss(fit_weights(probs, labels, tolerance=1e-2), probs, labels)
    assert best <= rough <= best + 1e-2
    assert best <= loss(np.full(4, 0.25), probs, labels)


def test_a_member_that_knows_gets_all_the_weight():
    probs, labels = members_of(1)
    probs[2] = np.eye(3)[labels] * 0.97 + 0.01
    assert fit_weights(probs, labels).argmax() == 2
    assert fit_weights(probs, labels)[2] > 0.95


def test_the_greedy_selection_of_two_is_the_best_first_and_then_the_best_beside_it():
    probs, labels = members_of(3)
    first = min(range(4), key=lambda m: nll(probs[m], labels).mean())
    second = min(range(4), key=lambda m: nll((probs[first] + probs[m]) / 2, labels).mean())
    expected = np.zeros(4)
    for member in (first, second):
        expected[member] += 0.5
    np.testing.assert_array_equal(select_members(probs, labels, size=2), expected)


def test_a_greedy_selection_with_replacement_can_take_a_member_again():
    probs, labels = members_of(4)
    weights = select_members(probs, labels, size=20)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights * 20, np.round(weights * 20))
    assert weights.max() > 1 / 20
    assert loss(weights, probs, labels) <= min(nll(p, labels).mean() for p in probs)


def test_the_greedy_selection_by_a_metric_that_is_better_high_and_by_another_rule():
    probs, labels = members_of(5)
    errors = [(p.argmax(axis=1) != labels).mean() for p in probs]
    assert len(set(errors)) > 1
    METRICS["right"] = Metric(lambda p, y: p.argmax(axis=1) == y, "right", higher_is_better=True)
    try:
        for metric in ("error", "right"):
            chosen = select_members(probs, labels, size=1, metric=metric, rule="geometric_mean")
            assert chosen.argmax() == int(np.argmin(errors))
    finally:
        del METRICS["right"]


def test_members_of_which_none_can_be_measured_are_refused():
    probs, labels = members_of(5)
    with pytest.raises(InputError, match="no member has a finite nll"):
        select_members(probs, labels, metric="nll", rule="majority_vote")


@pytest.mark.slow
def test_weights_that_are_not_the_best_yet_are_said_to_be():
    probs, labels = members_of(1)
    with pytest.warns(UserWarning, match="nats of the best"):
        fit_weights(probs, labels, tolerance=-1.0)


def test_stacking_beats_the_mean_where_one_member_has_swapped_two_classes():
    probs, labels = members_of(6, members=2, examples=2000)
    probs[1] = probs[1][:, [1, 0, 2]]
    half = len(labels) // 2
    stacked = Stacking(strength=1.0).fit(probs[:, :half], labels[:half]).predict(probs[:, half:])
    np.testing.assert_allclose(stacked.sum(axis=1), 1)
    assert nll(stacked, labels[half:]).mean() < nll(aggregate(probs[:, half:]), labels[half:]).mean()


def test_bad_input_is_told():
    probs, labels = members_of(0)
    for function in (fit_weights, select_members, Stacking().fit):
        with pytest.raises(InputError, match="labels must have one entry"):
            function(probs, labels[:-1])
        with pytest.raises(InputError, match=r"labels must be whole numbers 0\.\.2"):
            function(probs, labels + 1)
    with pytest.raises(InputError, match="must hold every class"):
        Stacking().fit(probs, np.zeros(300, int))
    with pytest.raises(InputError, match="fit the stacking"):
        Stacking().predict(probs)
    with pytest.raises(InputError, match="the 4 members"):
        Stacking().fit(probs, labels).predict(probs[:2])
    with pytest.raises(InputError, match="size must be"):
        select_members(probs, labels, size=0)


def test_one_member_and_all_members_alike():
    probs, labels = members_of(2, members=1)
    assert fit_weights(probs, labels).tolist() == [1.0]
    same = np.repeat(probs, 3, axis=0)
    np.testing.assert_allclose(fit_weights(same, labels), np.full(3, 1 / 3))
    for order in itertools.permutations(range(3), 3):
        np.testing.assert_allclose(select_members(same[list(order)], labels, size=2), [1, 0, 0])
