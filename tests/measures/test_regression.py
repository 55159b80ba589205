"""Identities of normal members and their pools, and second opinions of other packages."""

import itertools

import numpy as np
import pytest
import scoringrules
from scipy.integrate import quad
from scipy.stats import norm
from uncertainty_toolbox import metrics as toolbox

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import quantiles as q
from ensemble_vs_dropout.measures import regression as r

LEVELS = np.array([0.001, 0.05, 0.3, 0.5, 0.9, 0.999])


@pytest.fixture(params=[1, 2, 7], ids=["one member", "two members", "seven members"])
def given(request):
    """Members of several scales, unequal weights of which one may be 0, and targets near and far."""
    rng, members, examples = np.random.default_rng(request.param), request.param, 40
    means = rng.normal(0, 3, (members, examples))
    scales = np.exp(rng.normal(0, 1, (members, examples)))
    weights = rng.dirichlet(np.ones(members))
    if members > 2:
        weights[0] = 0
        weights /= weights.sum()
    return means, scales, weights, rng.normal(0, 5, examples)


def of_members(measure, means, scales, y, weights):
    return weights @ [measure(mean[None], scale[None], y) for mean, scale in zip(means, scales, strict=True)]


# Second opinions


def test_the_nll_and_the_crps_of_a_mixture_are_those_of_another_package(given):
    means, scales, weights, y = given
    theirs = [array.T for array in (means, scales)], np.tile(weights, (len(y), 1))
    np.testing.assert_allclose(r.crps(means, scales, y, weights), scoringrules.crps_mixnorm(y, *theirs[0], theirs[1]))
    np.testing.assert_allclose(
        r.gaussian_nll(means, scales, y, weights), scoringrules.logs_mixnorm(y, *theirs[0], theirs[1])
    )


def test_the_crps_is_the_integral_of_the_squared_distance_of_the_cdf(given):
    means, scales, weights, y = given
    for n in range(3):

        def squared(t, n=n):
            below = weights @ norm.cdf(t, means[:, n], scales[:, n])
            return (below - (t >= y[n])) ** 2

        ends = np.min(means - 9 * scales), np.max(means + 9 * scales)
        cuts = sorted([min(y[n], ends[0]), y[n], max(y[n], ends[1])])
        whole = sum(quad(squared, *pair, limit=500)[0] for pair in itertools.pairwise(cuts))
        assert r.crps(means, scales, y, weights)[n] == pytest.approx(whole, rel=1e-6)


def test_measures_of_one_member_are_those_of_two_packages():
    rng = np.random.default_rng(3)
    mean, scale, y = rng.normal(size=50), np.exp(rng.normal(size=50)), rng.normal(0, 2, 50)
    one = mean[None], scale[None], y
    assert r.gaussian_nll(*one).mean() == pytest.approx(toolbox.nll_gaussian(mean, scale, y))
    assert r.crps(*one).mean() == pytest.approx(toolbox.crps_gaussian(mean, scale, y))
    np.testing.assert_allclose(r.crps(*one), scoringrules.crps_normal(y, mean, scale))
    low, high = q.interval(mean[None], scale[None], level=0.9)
    np.testing.assert_allclose(q.interval_score(*one, level=0.9), scoringrules.interval_score(y, low, high, 0.1))
    of_levels = q.quantiles(mean[None], scale[None], LEVELS)
    theirs = np.mean([scoringrules.quantile_score(y, q, a) for q, a in zip(of_levels, LEVELS, strict=True)], axis=0)
    np.testing.assert_allclose(q.pinball(of_levels, LEVELS, y), theirs)
    found = toolbox.get_all_accuracy_metrics(mean, y, verbose=False)
    assert np.sqrt(r.squared_error(mean[None], y).mean()) == pytest.approx(found["rmse"])
    assert r.absolute_error(mean[None], y).mean() == pytest.approx(found["mae"])
    assert r.r2(mean[None], y) == pytest.approx(found["r2"])


# Identities


def test_a_mixture_is_never_worse_than_its_mean_member(given):
    means, scales, weights, y = given
    for measure in (r.gaussian_nll, r.crps):
        assert (measure(means, scales, y, weights) <= of_members(measure, means, scales, y, weights) + 1e-12).all()


def test_the_squared_error_is_that_of_the_members_less_their_ambiguity(given):
    means, _, weights, y = given
    ambiguity = r.variance_parts(means, np.ones_like(means), weights).epistemic
    of_each = weights @ [r.squared_error(mean[None], y) for mean in means]
    np.testing.assert_allclose(r.squared_error(means, y, weights), of_each - ambiguity, atol=1e-10)


def test_the_quantile_average_has_the_mean_of_the_members_quantiles_and_is_sharper_than_the_mixture(given):
    means, scales, weights, _ = given
    averaged = r.pool_normal(means, scales, "quantile_average", weights)
    of_each = np.array([q.quantiles(m[None], s[None], LEVELS) for m, s in zip(means, scales, strict=True)])
    np.testing.assert_allclose(q.quantiles(*averaged[:2], LEVELS), np.einsum("m,mle->le", weights, of_each), atol=1e-9)
    total = r.variance_parts(means, scales, weights).total
    assert (averaged[1][0] ** 2 <= total + 1e-12).all()


def test_the_moment_matched_pool_has_the_mean_and_the_variance_of_the_mixture(given):
    means, scales, weights, _ = given
    parts = r.variance_parts(means, scales, weights)
    mean, scale, one = r.pool_normal(means, scales, "moment_matched", weights)
    np.testing.assert_allclose(mean[0], parts["mean"])
    np.testing.assert_allclose(scale[0] ** 2, parts.total)
    assert one.tolist() == [1.0]
    np.testing.assert_allclose(r.pool_normal(means, scales, "parameter_mean", weights)[1][0] ** 2, parts.aleatoric)
    assert (parts.total >= parts.aleatoric).all()
    draws = np.random.default_rng(0)
    which = draws.choice(len(weights), 200_000, p=weights)
    drawn = draws.normal(means[which, 0], scales[which, 0])
    assert drawn.mean() == pytest.approx(parts["mean"][0], abs=5 * drawn.std() / 400)
    assert drawn.var() == pytest.approx(parts.total[0], rel=0.05)


@pytest.mark.parametrize("rule", r.POOLS)
def test_members_that_are_all_alike_pool_to_themselves(rule):
    mean, scale, y = np.array([[1.0, 2.0]]), np.array([[0.5, 3.0]]), [0.0, 4.0]
    pooled = r.pool_normal(np.repeat(mean, 4, axis=0), np.repeat(scale, 4, axis=0), rule)
    for measure in (r.gaussian_nll, r.crps, q.interval_score):
        np.testing.assert_allclose(measure(*pooled[:2], y, pooled[2]), measure(mean, scale, y))


@pytest.mark.parametrize("rule", r.POOLS)
def test_measures_do_not_depend_on_the_order_of_members_nor_on_the_unit(given, rule):
    means, scales, weights, y = given
    pooled = r.pool_normal(means, scales, rule, weights)
    turned = r.pool_normal(means[::-1], scales[::-1], rule, weights[::-1])
    other = r.pool_normal(1000 * means + 5, 1000 * scales, rule, weights)  # in millimeters
    for measure in (r.gaussian_nll, r.crps, q.interval_score, q.cdf):
        of_unit = {"gaussian_nll": (1, np.log(1000)), "cdf": (1, 0)}.get(measure.__name__, (1000, 0))
        value = measure(*pooled[:2], y, pooled[2])
        np.testing.assert_allclose(measure(*turned[:2], y, turned[2]), value, atol=1e-9)
        found = measure(*other[:2], 1000 * y + 5, other[2])
        np.testing.assert_allclose(found, of_unit[0] * value + of_unit[1], rtol=1e-8, atol=1e-9)


def test_pools_of_scales_that_squares_cannot_hold_are_right():
    for size in (1e-300, 1e-170, 1e160, 1e300):
        means, scales = np.array([[0.0], [2.0 * size]]), np.full((2, 1), size)
        assert r.pool_normal(means, scales, "moment_matched")[1].item() == pytest.approx(np.sqrt(2) * size)
        assert r.pool_normal(means, scales, "parameter_mean")[1].item() == pytest.approx(size)


def test_the_crps_of_a_certain_prediction_is_the_absolute_error():
    means, y = np.array([[1.0], [3.0]]), [5.0]
    assert r.crps(means[:1], 1e-12, y).item() == pytest.approx(4.0)
    assert r.crps(means, 1e-12, y).item() == pytest.approx(3 - 0.5)  # mean distance 3, less half of that of two draws


# The noise of members that have none


def test_the_noise_is_where_the_validation_targets_are_likeliest():
    rng = np.random.default_rng(6)
    means, y = rng.normal(0, 1, (5, 300)), rng.normal(0, 2, 300)
    weights = rng.dirichlet(np.ones(5))
    noise = r.fit_noise(means, y, weights)
    losses = [r.gaussian_nll(means, noise * factor, y, weights).mean() for factor in (1, 0.97, 1.03, 0.2, 5)]
    assert min(losses) == losses[0]
    assert r.fit_noise(1000 * means, 1000 * y, weights) == pytest.approx(1000 * noise, rel=1e-5)


def test_the_noise_of_members_all_alike_is_their_rmse():
    rng = np.random.default_rng(7)
    mean, y = rng.normal(size=(1, 50)), rng.normal(size=50)
    rmse = np.sqrt(r.squared_error(mean, y).mean())
    assert r.fit_noise(mean, y) == pytest.approx(rmse)
    assert r.fit_noise(np.repeat(mean, 3, axis=0), y) == pytest.approx(rmse, rel=1e-6)


def test_of_two_likely_noises_the_likelier_is_found():
    """Where one of two members is nearly right everywhere, little noise is likelier than much."""
    y = np.zeros(20)
    means = np.stack([np.full(20, 1e-3), np.full(20, 10.0)])
    noise = r.fit_noise(means, y)
    assert noise == pytest.approx(1e-3, rel=0.01)


def test_the_noise_is_found_however_far_off_one_member_is():
    rng = np.random.default_rng(8)
    y = rng.normal(size=200)
    good = y + 0.1 * rng.normal(size=200)
    wild = good.copy()
    wild[0] += 1e7
    for other in (good + 1e5, good + 1e8, wild):
        means = np.stack([good, other])
        noise = r.fit_noise(means, y)
        found = r.gaussian_nll(means, noise, y).mean()
        assert found <= min(r.gaussian_nll(means, s, y).mean() for s in np.geomspace(1e-3, 10, 200)) + 1e-9


def test_no_noise_is_told_where_targets_are_what_is_predicted():
    with pytest.raises(InputError, match="each has one right"):
        r.fit_noise([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0])


# Bad input


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda: r.crps([1.0], [1.0], [1.0]),
            r"means must have shape \(members, examples\).*one member alone is means",
        ),
        (lambda: r.crps([[1.0]], [[0.0]], [1.0]), "scales must be standard deviations above 0, got 0"),
        (lambda: r.crps([[1.0]], [[np.nan]], [1.0]), "scales must be finite numbers, got NaN or infinity"),
        (lambda: r.crps([[np.inf]], [[1.0]], [1.0]), "means must be finite numbers, got NaN or infinity"),
        (lambda: r.crps([["a"]], [[1.0]], [1.0]), "means must be finite numbers, got dtype <U1"),
        (lambda: r.crps([[1.0]], [[1.0, 2.0]], [1.0]), r"scales must have the shape of means, \(1, 1\), got \(1, 2\)"),
        (lambda: r.crps([[1.0]], 1.0, [1.0, 2.0]), "y must hold one number for each of the 1 examples"),
        (lambda: r.crps([[1.0]], 1.0, [np.nan]), "y must be finite numbers, got NaN"),
        (lambda: r.crps([[1.0]], 1.0, [1.0], [0.5]), "weights must be non-negative and sum to 1"),
        (lambda: r.pool_normal([[1.0]], 1.0, "mixtur"), "unknown pool 'mixtur' .did you mean 'mixture'"),
        (lambda: r.crps([[1.0]], 1.0, np.ma.masked_array([1.0], [True])), "y must have no masked values"),
    ],
)
def test_bad_input_is_told(call, match):
    with pytest.raises(InputError, match=match):
        call()


def test_a_column_of_targets_is_taken_and_equal_targets_have_no_r2():
    assert r.squared_error([[1.0, 2.0]], [[1.0], [4.0]]).tolist() == [0.0, 4.0]
    assert np.isnan(r.r2([[1.0, 2.0]], [3.0, 3.0]))
    assert np.isnan(r.r2([[0.31] * 10], [0.3] * 10))
