import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import METRICS, STANDARD_METRICS, Metric, aggregate
from ensemble_vs_dropout.measures.resampling import bootstrap_weights, weighted_means
from ensemble_vs_dropout.measures.weighted import sound_weights

every_metric = pytest.mark.parametrize("name", list(METRICS))
WHOLE = [name for name, metric in METRICS.items() if metric.weighted]
BOUNDED = {"nll": np.inf, "calibrated_nll": np.inf, "brier": 2.0, "augrc": 0.5}


def some(seed=0, examples=40, classes=3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet([0.5] * classes, examples), rng.integers(classes, size=examples)


def votes(seed=0, examples=40):
    rng = np.random.default_rng(seed)
    return aggregate(np.eye(3)[rng.integers(3, size=(5, examples))], "majority_vote"), rng.integers(3, size=examples)


def test_the_standard_metrics_are_in_the_registry_and_lower_is_better_in_all():
    assert STANDARD_METRICS == ("error", "nll", "calibrated_nll", "brier", "ece")
    assert not any(METRICS[name].higher_is_better for name in STANDARD_METRICS)


@every_metric
@pytest.mark.parametrize("made", [some, votes])
def test_values_are_in_their_range_and_one_example_has_one(name, made):
    for examples in (1, 2, 40):
        value = METRICS[name].value(*made(examples=examples))
        assert -1e-12 <= value <= BOUNDED.get(name, 1.0)


@every_metric
def test_the_truth_with_certainty_is_the_best_score(name):
    labels = np.arange(3)
    best = 1.0 if METRICS[name].higher_is_better else 0.0
    assert METRICS[name].value(np.eye(3), labels) == best


@every_metric
def test_one_value_per_example_where_that_is_said(name):
    probs, labels = some()
    assert np.shape(METRICS[name].function(probs, labels)) == ((40,) if METRICS[name].per_example else ())


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("made", [some, votes])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_weighted_resample_is_the_resample_itself(name, made, seed):
    probs, labels = made(seed)
    function = METRICS[name].function
    weights = bootstrap_weights(np.random.default_rng(seed), 40, 6)
    picks = [np.repeat(np.arange(40), np.rint(row * 40).astype(int)) for row in weights]
    slow = [float(function(probs[pick], labels[pick])) for pick in picks]
    np.testing.assert_allclose(function(probs, labels, weights), slow, atol=1e-10)
    assert float(function(probs, labels, weights[0])) == pytest.approx(slow[0], abs=1e-10)


@pytest.mark.parametrize("name", sorted(set(WHOLE) - {"debiased_ce"}))  # which corrects for the number of examples
def test_examples_without_weight_are_as_good_as_gone(name):
    probs, labels = some()
    weights = np.r_[np.full(30, 1 / 30), np.zeros(10)]
    expected = float(METRICS[name].function(probs[:30], labels[:30]))
    if name in ("aurc", "excess_aurc"):  # the mean over the steps of a curve, which has 40 of them
        assert float(METRICS[name].function(probs, labels, weights)) == pytest.approx(expected, abs=0.02)
    else:
        assert float(METRICS[name].function(probs, labels, weights)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("weights", [np.ones(40), np.full(39, 1 / 39), np.full((2, 2, 40), 1 / 40)])
def test_weights_that_are_none_are_refused(name, weights):
    with pytest.raises(InputError, match="weights must"):
        METRICS[name].function(*some(), weights)


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"calibrated_nll"}))  # whose halves are drawn by position
def test_the_order_of_the_examples_does_not_matter(name):
    for made in (some, votes):
        probs, labels = made(1)
        for seed in range(5):
            order = np.random.default_rng(seed).permutation(40)
            value = METRICS[name].value(probs[order], labels[order])
            assert value == pytest.approx(METRICS[name].value(probs, labels), abs=1e-12)


@every_metric
@pytest.mark.parametrize("bad", [np.nan, -0.2, 1.7])
def test_what_are_no_probabilities_are_refused_with_their_place(name, bad):
    probs, labels = some()
    probs[7, 1] = bad
    with pytest.raises(InputError, match="example 7"):
        METRICS[name].value(probs, labels)


def test_percentages_are_scaled():
    assert {name for name, metric in METRICS.items() if metric.scale == 100} == {
        "error",
        "accuracy",
        "top_5_error",
        "balanced_error",
    }


def test_a_metric_of_the_users_own_needs_no_weights():
    metric = Metric(lambda probs, labels: 0.5, "constant", per_example=False)
    assert not metric.weighted
    assert metric.value(*some()) == 0.5


def test_a_mean_of_examples_is_resampled_by_its_weights():
    probs, labels = some()
    rows = METRICS["brier"].function(probs, labels)
    weights = bootstrap_weights(np.random.default_rng(0), 40, 3)
    picks = [np.repeat(np.arange(40), np.rint(row * 40).astype(int)) for row in weights]
    slow = [METRICS["brier"].value(probs[pick], labels[pick]) for pick in picks]
    np.testing.assert_allclose(weighted_means(weights, rows), slow)


@pytest.mark.parametrize("name", WHOLE)
def test_weights_that_were_checked_before_give_the_same(name):
    weights = bootstrap_weights(np.random.default_rng(1), 40, 6)
    sound = sound_weights(weights.copy())
    np.testing.assert_array_equal(METRICS[name].function(*some(), sound), METRICS[name].function(*some(), weights))
    with pytest.raises(ValueError, match="read-only"):
        sound[0, 0] = 1
    with pytest.raises(InputError, match="one for each example"):
        METRICS[name].function(*some(examples=39), sound)
    with pytest.raises(InputError, match="sum to 1"):
        sound_weights(weights * 2)
