import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import aggregate, ece, nll
from ensemble_vs_dropout.measures.temperature import (
    COLDEST,
    HOTTEST,
    PRIOR,
    apply_temperature,
    calibrate_then_pool,
    calibrated_nll,
    calibration_worsens,
    fit_temperature,
    pool_then_calibrate,
)
from ensemble_vs_dropout.seeds import stream

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def some(seed, examples=60, classes=3, skill=1.0, surety=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=examples)
    logits = rng.normal(size=(examples, classes)) + skill * np.eye(classes)[labels]
    return softmax(surety * logits, axis=1), labels


def nearly_right(errors=1, examples=88, surety=5.0, seed=0):
    """Predictions that are sure and right but for the first few, which are sure of another class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=examples)
    logits = rng.normal(size=(examples, 3)) + 6 * np.eye(3)[labels]
    logits[:errors] = surety * np.eye(3)[(labels[:errors] + 1) % 3]
    return softmax(logits, axis=1), labels


def calibrated(seed, examples, skill=2.5):
    """The posterior of the model that draws the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=examples)
    return softmax(skill * (rng.normal(size=(examples, 3)) + skill * np.eye(3)[labels]), axis=1), labels


def penalized(probs, labels, temperature, prior):
    loss = nll(apply_temperature(probs, temperature), labels).sum()
    return loss + prior * (1 / temperature - 1 + np.log(temperature))


def slow_temperature(probs, labels, prior=PRIOR):
    found = minimize_scalar(
        lambda log_t: penalized(probs, labels, np.exp(log_t), prior),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(np.exp(found.x))


@given(seed=seeds, surety=st.floats(0.1, 8), prior=st.sampled_from([0.0, 1.0, 20.0]))
@few
def test_the_fitted_temperature_is_where_a_general_search_ends(seed, surety, prior):
    probs, labels = some(seed, surety=surety)
    found, expected = fit_temperature(probs, labels, prior), slow_temperature(probs, labels, prior)
    assert penalized(probs, labels, found, prior) <= penalized(probs, labels, expected, prior) + 1e-7
    if COLDEST * 1.1 < expected < HOTTEST / 1.1:
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("errors", range(3))
@pytest.mark.parametrize("surety", [0.01, 1, 30])
def test_the_search_ends_where_the_loss_is_nearly_flat(errors, surety):
    probs, labels = nearly_right(errors)
    probs = apply_temperature(probs, 1 / surety)
    assert fit_temperature(probs, labels) == pytest.approx(slow_temperature(probs, labels), rel=1e-3)


@given(seed=seeds, surety=st.floats(0.2, 5))
@few
def test_a_stronger_prior_takes_the_temperature_nearer_to_one(seed, surety):
    probs, labels = some(seed, surety=surety)
    logs = np.log([fit_temperature(probs, labels, prior) for prior in (0, 0.5, 1, 10, 1e9)])
    assert (np.diff(np.abs(logs)) <= 1e-6).all()
    assert (logs * np.sign(logs[0]) >= -1e-6).all()  # and never beyond
    assert logs[-1] == pytest.approx(0, abs=1e-6)


@given(seed=seeds, times=st.integers(2, 5))
@few
def test_the_prior_weighs_as_much_as_so_many_examples_whatever_their_number(seed, times):
    probs, labels = some(seed)
    again = fit_temperature(np.tile(probs, (times, 1)), np.tile(labels, times), prior=3.0 * times)
    assert again == pytest.approx(fit_temperature(probs, labels, prior=3.0), rel=1e-6)


@pytest.mark.parametrize("surety", [0.5, 1, 2, 4])
def test_with_many_examples_the_prior_is_negligible(surety):
    probs, labels = some(0, examples=4000, surety=surety)
    assert fit_temperature(probs, labels) == pytest.approx(fit_temperature(probs, labels, prior=0), rel=0.005)
    with_it, without = calibrated_nll(probs, labels), calibrated_nll(probs, labels, prior=0)
    assert with_it.mean() == pytest.approx(without.mean(), abs=1e-5)


@given(seed=seeds)
@few
def test_the_fitted_temperature_never_raises_the_loss_and_keeps_the_labels(seed):
    probs, labels = some(seed, surety=3)
    t = fit_temperature(probs, labels)
    scaled = apply_temperature(probs, t)
    assert nll(scaled, labels).mean() <= nll(probs, labels).mean() + 1e-12
    np.testing.assert_array_equal(scaled.argmax(axis=1), probs.argmax(axis=1))
    np.testing.assert_allclose(scaled.sum(axis=1), 1)


@given(seed=seeds, factor=st.floats(0.2, 5))
@few
def test_a_prediction_made_surer_gets_the_temperature_that_undoes_it(seed, factor):
    probs, labels = some(seed, examples=200)
    once, twice = (fit_temperature(p, labels, prior=0) for p in (probs, apply_temperature(probs, 1 / factor)))
    assert twice == pytest.approx(once * factor, rel=1e-4)


def test_an_over_confident_network_is_made_less_sure_and_better_calibrated():
    probs, labels = some(0, examples=2000, surety=4)
    t = fit_temperature(probs, labels)
    assert t == pytest.approx(4, rel=0.15)  # the logits of the model that drew the labels, times 4
    assert ece(apply_temperature(probs, t), labels) < ece(probs, labels) / 3


@pytest.mark.parametrize(("labels", "expected"), [([0, 0, 0], COLDEST), ([1, 1, 1], HOTTEST)])
def test_always_right_and_always_wrong_end_at_the_bounds_of_maximum_likelihood(labels, expected):
    assert fit_temperature(np.tile([0.6, 0.4], (3, 1)), labels, prior=0) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("examples", [1, 3, 40, 1000])
def test_always_right_is_as_sure_as_the_examples_are_many(examples):
    t = fit_temperature(np.tile([0.6, 0.4], (examples, 1)), np.zeros(examples, int))
    margin = np.log(0.6 / 0.4)
    assert 1 - t == pytest.approx(examples * margin / (1 + np.exp(margin / t)), rel=1e-4)  # the slopes cancel


def test_a_true_class_of_probability_zero_says_nothing_about_the_temperature():
    probs, labels = some(1)
    impossible = np.eye(3)[(labels[:5] + 1) % 3]
    with_it = fit_temperature(np.concatenate([probs, impossible]), np.concatenate([labels, labels[:5]]))
    assert with_it == pytest.approx(fit_temperature(probs, labels))
    assert fit_temperature(impossible, labels[:5]) == 1
    assert fit_temperature(impossible, labels[:5], prior=0) == 1
    loss = calibrated_nll(np.concatenate([probs, impossible]), np.concatenate([labels, labels[:5]]))
    assert np.isinf(loss[-5:]).all()
    assert np.isfinite(loss[:-5]).all()


@pytest.mark.parametrize("prior", [0.0, 1.0])
@pytest.mark.parametrize("silent", [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
def test_an_example_that_says_nothing_leaves_the_other_half_its_plain_loss(silent, prior):
    loss = calibrated_nll([[0.6, 0.4], silent], [0, 0], prior=prior)
    assert loss[0] == pytest.approx(-np.log(0.6))


def test_zeros_stay_zero_and_certainty_stays_certain():
    np.testing.assert_array_equal(apply_temperature(np.eye(2), 5.0), np.eye(2))
    assert apply_temperature([[0.5, 0.5, 0.0]], 3.0).tolist() == [[0.5, 0.5, 0.0]]


@given(seed=seeds, t=st.floats(0.2, 5))
@few
def test_the_geometric_mean_commutes_with_a_common_temperature_and_the_mean_does_not(seed, t):
    members = np.random.default_rng(seed).dirichlet(np.ones(3), (4, 10))
    for rule, commutes in (("geometric_mean", True), ("mean", abs(t - 1) < 1e-6)):
        first, last = aggregate(apply_temperature(members, t), rule), apply_temperature(aggregate(members, rule), t)
        assert np.allclose(first, last, atol=1e-12) == commutes or abs(t - 1) < 0.05


@given(seed=seeds, examples=st.integers(2, 80), repeats=st.integers(1, 4), prior=st.sampled_from([0.01, 1.0]))
@few
def test_calibrated_loss_agrees_with_fitting_each_half_alone(seed, examples, repeats, prior):
    probs, labels = some(seed, examples, surety=2)
    expected = np.zeros(examples)
    for repeat in range(repeats):
        half = stream(0, "halves", repeat).permutation(examples) % 2
        for own, other in ((half == 0, half == 1), (half == 1, half == 0)):
            t = fit_temperature(probs[other], labels[other], prior)
            expected[own] += nll(apply_temperature(probs[own], t), labels[own]) / repeats
    np.testing.assert_allclose(calibrated_nll(probs, labels, repeats, prior=prior), expected, rtol=1e-3, atol=1e-6)


@given(seed=seeds, factor=st.floats(0.3, 4))
@few
def test_calibrated_loss_does_not_see_a_temperature(seed, factor):
    probs, labels = some(seed, examples=200)
    scaled = apply_temperature(probs, factor)
    once, twice = (calibrated_nll(p, labels, prior=0) for p in (probs, scaled))
    np.testing.assert_allclose(twice, once, atol=1e-5)


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_one_example_has_its_plain_loss(prior):
    assert calibrated_nll([[0.3, 0.7]], [1], prior=prior) == pytest.approx(-np.log(0.7))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("errors", range(4))
def test_calibrated_loss_does_not_explode_where_a_half_is_all_right(errors, seed):
    probs, labels = nearly_right(errors, seed=seed)
    plain = nll(probs, labels).mean()
    assert calibrated_nll(probs, labels).mean() < plain + 0.05
    if errors:
        assert calibrated_nll(probs, labels, prior=0).mean() > plain + 1  # at the coldest temperature


@pytest.mark.parametrize("examples", [2, 10, 50])
def test_calibrated_loss_of_few_calibrated_examples_is_near_the_plain_one(examples):
    rises = [(calibrated_nll(*one) - nll(*one)).sum() for one in (calibrated(seed, examples) for seed in range(40))]
    assert max(rises) < 15
    assert np.mean(rises) < 2


@pytest.mark.parametrize(("examples", "skill"), [(50, 1.0), (88, 2.5), (200, 4.0), (1000, 2.5)])
def test_calibrating_the_calibrated_costs_a_nat_and_is_seldom_said_to_worsen(examples, skill):
    drawn = [calibrated(seed, examples, skill) for seed in range(60)]
    assert np.mean([(calibrated_nll(*one) - nll(*one)).sum() for one in drawn]) < 2
    assert np.mean([calibration_worsens(*one) for one in drawn]) <= 0.2


def test_calibration_worsens_where_one_is_wrong_and_very_sure_and_not_where_it_mends():
    assert calibration_worsens(*nearly_right(surety=10.0))
    assert not calibration_worsens(*nearly_right(errors=0))
    for surety in (0.5, 4):
        assert not calibration_worsens(*some(0, examples=200, surety=surety), margin=0)


@given(seed=seeds, examples=st.integers(1, 60))
@few
def test_worse_is_what_costs_more_nats_in_all_and_impossible_examples_do_not_matter(seed, examples):
    probs, labels = some(seed, examples)
    probs[0] = np.eye(3)[(labels[0] + 1) % 3]
    rise = (calibrated_nll(probs, labels)[1:] - nll(probs, labels)[1:]).sum()
    assert not calibration_worsens(probs, labels, margin=rise + 1e-9)
    assert calibration_worsens(probs, labels, margin=rise - 1e-9)


@pytest.mark.parametrize("prior", [-1, np.inf, np.nan])
def test_priors_that_cannot_be_are_refused(prior):
    for function in (fit_temperature, calibrated_nll):
        with pytest.raises(InputError, match="prior must be a number of at least 0"):
            function([[0.5, 0.5]], [0], prior=prior)


def test_pooling_calibrated_members_is_under_confident_and_the_calibrated_pool_is_not():
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=4000)
    shared = rng.normal(size=(4000, 5)) * 0.5 + np.eye(5)[labels]
    members = softmax(2 * (shared + rng.normal(size=(10, 4000, 5))), axis=2)
    val, test = members[:, :2000], members[:, 2000:]
    pooled = {
        name: way(val, labels[:2000], test)
        for name, way in (("members first", calibrate_then_pool), ("pool first", pool_then_calibrate))
    }
    right = {name: (probs.argmax(axis=1) == labels[2000:]).mean() for name, probs in pooled.items()}
    assert pooled["members first"].max(axis=1).mean() < right["members first"] - 0.05
    assert abs(pooled["pool first"].max(axis=1).mean() - right["pool first"]) < 0.03


def test_one_member_is_calibrated_alike_before_and_after():
    probs, labels = some(2)
    first, last = (way(probs[None], labels, probs[None]) for way in (calibrate_then_pool, pool_then_calibrate))
    np.testing.assert_allclose(first, last)


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_temperatures_that_cannot_be_are_refused(temperature):
    with pytest.raises(InputError, match="temperature must be above 0"):
        apply_temperature([[0.5, 0.5]], temperature)


def test_other_members_than_were_fitted_are_refused():
    probs, labels = some(0)
    with pytest.raises(InputError, match="same members, got 1 and 2"):
        calibrate_then_pool(probs[None], labels, np.stack([probs, probs]))
