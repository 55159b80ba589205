import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.resampling import (
    bca_interval,
    bootstrap_p_value,
    bootstrap_weights,
    jackknife_weights,
    percentile_interval,
    weighted_means,
)

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def test_bootstrap_weights_are_shares_of_counts_that_sum_to_one():
    weights = bootstrap_weights(np.random.default_rng(0), 7, 300)
    assert weights.shape == (300, 7)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights * 7, np.rint(weights * 7), atol=1e-12)
    assert (weights >= 0).all()


def test_bootstrap_weights_have_the_multinomial_moments():
    weights = bootstrap_weights(np.random.default_rng(0), 10, 20_000) * 10
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.04)
    np.testing.assert_allclose(weights.var(axis=0), 0.9, atol=0.06)
    assert np.cov(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-0.1, abs=0.03)


def test_one_item_is_every_resample():
    np.testing.assert_array_equal(bootstrap_weights(np.random.default_rng(0), 1, 20), 1)
    np.testing.assert_array_equal(jackknife_weights(1), [[1]])


def test_bootstrap_weights_count_the_drawn_items():
    draws = np.random.default_rng(4).integers(6, size=(9, 6))
    expected = [[(row == item).sum() / 6 for item in range(6)] for row in draws]
    np.testing.assert_allclose(bootstrap_weights(np.random.default_rng(4), 6, 9), expected)


@pytest.mark.parametrize(("size", "groups"), [(2, 200), (7, 200), (7, 7), (7, 3), (200, 200), (201, 200), (7, 2)])
def test_each_jackknife_row_is_the_mean_without_one_group_and_each_item_is_left_out_once(size, groups):
    values = np.random.default_rng(0).normal(size=size)
    weights = jackknife_weights(size, groups)
    rows = min(size, groups)
    without = [np.delete(values, np.arange(row, size, rows)).mean() for row in range(rows)]
    np.testing.assert_allclose(weights @ values, without)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal((weights == 0).sum(axis=0), 1)


@pytest.mark.parametrize(("size", "groups", "named"), [(0, 200, "size"), (5, 1, "groups"), (2.5, 5, "size")])
def test_a_jackknife_of_nothing_or_of_one_group_is_refused(size, groups, named):
    with pytest.raises(InputError, match=named):
        jackknife_weights(size, groups)


@given(seed=seeds)
@few
def test_weighted_means_are_the_product_and_infinite_only_where_an_infinite_row_has_weight(seed):
    rng = np.random.default_rng(seed)
    rows, weights = rng.normal(size=(6, 2)), bootstrap_weights(rng, 6, 20)
    np.testing.assert_array_equal(weighted_means(weights, rows), weights @ rows)
    rows[2, 1] = np.inf
    means = weighted_means(weights, rows)
    np.testing.assert_array_equal(np.isinf(means), np.column_stack([np.zeros(20, bool), weights[:, 2] > 0]))
    assert not np.isnan(means).any()


def test_percentile_interval_cuts_the_tails():
    assert percentile_interval(np.arange(1.0, 1001.0)) == pytest.approx((25, 975), abs=1)
    assert percentile_interval(np.arange(1.0, 1001.0), level=0.5) == pytest.approx((250, 750), abs=1)


def test_percentile_interval_keeps_infinity_and_does_not_invent_nan():
    assert percentile_interval(np.full(100, np.inf)) == (np.inf, np.inf)
    low, high = percentile_interval(np.r_[np.zeros(50), np.full(50, np.inf)])
    assert (low, high) == (0.0, np.inf)
    assert all(math.isnan(bound) for bound in percentile_interval(np.array([0.0, np.nan])))


STATISTICS = {
    "mean": lambda x, axis=-1: np.mean(x, axis=axis),
    "variance": lambda x, axis=-1: np.var(x, axis=axis),
    "log of the mean": lambda x, axis=-1: np.log(np.mean(x, axis=axis)),
}


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_bca_interval_agrees_with_scipy(name, level):
    statistic, values = STATISTICS[name], np.random.default_rng(3).exponential(size=40)
    theirs = bootstrap(
        (values,), statistic, n_resamples=4000, confidence_level=level, rng=np.random.default_rng(0), method="BCa"
    )
    left_out = [statistic(np.delete(values, i)) for i in range(40)]
    ours = bca_interval(theirs.bootstrap_distribution, statistic(values), left_out, level)
    # They interpolate between two draws, we take one of them.
    np.testing.assert_allclose(ours, theirs.confidence_interval, rtol=0.01)
    assert np.abs(np.subtract(percentile_interval(theirs.bootstrap_distribution, level), ours)).max() > 0.015


def test_bca_interval_of_several_independent_levels_agrees_with_that_of_several_samples_in_scipy():
    rng = np.random.default_rng(5)
    x, y = rng.exponential(size=15), 3 * rng.exponential(size=40)
    theirs = bootstrap(
        (x, y),
        lambda x, y, axis=-1: np.mean(y, axis=axis) - np.mean(x, axis=axis),
        n_resamples=4000,
        rng=np.random.default_rng(0),
        method="BCa",
    )
    levels = [y.mean() - jackknife_weights(15) @ x, jackknife_weights(40) @ y - x.mean()]
    draws, value = theirs.bootstrap_distribution, y.mean() - x.mean()
    ours = bca_interval(draws, value, levels)
    np.testing.assert_allclose(ours, theirs.confidence_interval, rtol=0.01)
    assert bca_interval(draws, value, levels[::-1]) == ours
    assert bca_interval(draws, value, levels[:1]) != ours
    assert bca_interval(draws, value, levels[1:]) != ours
    assert bca_interval(draws, value, [*levels, np.full(3, value)]) == ours


def test_a_jackknife_over_groups_gives_nearly_the_interval_of_the_one_over_items():
    rng = np.random.default_rng(0)
    values = rng.exponential(size=1000)
    draws, value = bootstrap_weights(rng, 1000, 4000) @ values, values.mean()
    whole, grouped = (bca_interval(draws, value, jackknife_weights(1000, g) @ values) for g in (1000, 200))
    np.testing.assert_allclose(grouped, whole, atol=0.005)


def test_bca_interval_without_correction_is_the_percentile_interval():
    draws = norm.ppf((np.arange(999) + 0.5) / 999)
    for level in (0.5, 0.9, 0.95):
        np.testing.assert_allclose(bca_interval(draws, 0.0, [-1.0, 1.0], level), percentile_interval(draws, level))


def test_bca_interval_by_its_formula():
    draws = np.sort(np.random.default_rng(0).normal(size=2000))
    left_out = [np.array([0.0, 1.0]), np.array([0.0, 0.1, -0.9, 0.2])]
    # (n - 1) / n of the gap, which differs between levels of different sizes
    gaps = np.r_[(left_out[0].mean() - left_out[0]) / 2, (left_out[1].mean() - left_out[1]) * 3 / 4]
    a, z0 = (gaps**3).sum() / 6 / (gaps**2).sum() ** 1.5, norm.ppf((draws < 0.3).mean())
    shares = [norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in norm.ppf([0.025, 0.975])]
    expected = draws[np.ceil(np.multiply(shares, 2000)).astype(int) - 1]
    np.testing.assert_array_equal(bca_interval(draws, 0.3, left_out), expected)


@given(seed=seeds, size=st.integers(2, 30))
@few
def test_bca_bounds_are_draws_in_order_that_do_not_depend_on_the_order_of_draws_or_items(seed, size):
    rng = np.random.default_rng(seed)
    values = rng.pareto(1.0, size=size)
    draws, left_out = bootstrap_weights(rng, size, 199) @ values, jackknife_weights(size) @ values
    low, high = bca_interval(draws, values.mean(), left_out)
    assert low <= high
    assert {low, high} <= set(draws)
    assert bca_interval(rng.permutation(draws), values.mean(), rng.permutation(left_out)) == (low, high)


@given(seed=seeds)
@few
def test_bca_interval_of_the_negative_is_the_negative_interval(seed):
    rng = np.random.default_rng(seed)
    draws, left_out = np.sort(rng.gamma(2, size=999)), rng.gamma(1, size=20)
    bounds, mirrored = bca_interval(draws, 1.7, left_out), bca_interval(-draws, -1.7, -left_out)
    steps = np.searchsorted(draws, bounds) - np.searchsorted(draws, np.negative(mirrored[::-1]))
    assert (np.abs(steps) <= 1).all()  # the order statistic at or above a share, from above or from below


def test_bca_bounds_keep_their_order_past_the_pole_of_the_acceleration():
    draws = np.arange(100_000.0)
    low, high = bca_interval(draws, 99_998.5, [*np.zeros(999), 1.0], level=0.99999)
    assert low <= high
    low, high = bca_interval(draws, 99_998.5, [*np.zeros(999), -1.0], level=0.99999)
    assert low <= high
    assert high == draws[-1]


def test_bca_interval_counts_half_of_the_draws_that_equal_the_value():
    draws = np.repeat([0.0, 0.1, 0.2], [300, 400, 300])
    rounded = draws + np.random.default_rng(0).choice([-1e-17, 0.0, 3e-17], size=1000)
    for d in (draws, rounded):
        np.testing.assert_allclose(bca_interval(d, 0.1, [-1.0, 1.0], level=0.5), (0.0, 0.2), atol=1e-15)
    low, high = bca_interval(draws, 0.1 + 1e-6, [-1.0, 1.0], level=0.2)  # not ties: all 0.1 are below
    assert (low, high) == (0.2, 0.2)


def test_bca_interval_of_draws_that_do_not_vary():
    assert bca_interval(np.full(99, 0.2), 0.2, [0.2, 0.2]) == (0.2, 0.2)
    assert bca_interval(np.full(99, 0.3 - 0.1), 0.2, [0.2, 0.2]) == pytest.approx((0.2, 0.2))
    assert bca_interval(np.full(99, np.inf), np.inf, [np.inf, np.inf]) == (np.inf, np.inf)


def test_bca_interval_is_undefined_with_all_draws_on_one_side_or_a_nan():
    for draws, value in (([1.0, 2.0], 3.0), ([1.0, 2.0], 0.0), ([1.0, np.nan], 1.0), ([1.0, 2.0], np.nan)):
        assert all(math.isnan(bound) for bound in bca_interval(np.array(draws), value, [1.0, 2.0, 4.0]))


def test_bca_interval_without_a_finite_or_varying_jackknife_is_not_accelerated():
    draws = np.random.default_rng(0).exponential(size=500)
    plain = bca_interval(draws, 0.7, [-1.0, 1.0])
    for left_out in ([0.7, 0.7], [0.1, np.inf], [0.1] * 7, [np.full(3, 0.1), [1.0]], [0.1, np.nan]):
        assert bca_interval(draws, 0.7, left_out) == plain
    assert bca_interval(draws, 0.7, [0.0, 0.0, 1.0]) != plain


@given(seed=seeds)
@few
def test_bootstrap_p_value_is_between_zero_and_one_and_the_same_for_the_opposite_difference(seed):
    rng = np.random.default_rng(seed)
    draws = rng.normal(rng.normal(), 1, size=199)
    p = bootstrap_p_value(draws)
    assert 0 < p <= 1
    assert bootstrap_p_value(-draws) == p


def test_bootstrap_p_value_by_hand():
    assert bootstrap_p_value(np.ones(199)) == pytest.approx(2 / 200)
    assert bootstrap_p_value(np.r_[np.ones(190), -np.ones(9)]) == pytest.approx(20 / 200)
    assert bootstrap_p_value(np.zeros(199)) == 1
    assert bootstrap_p_value(np.full(199, -np.inf)) == pytest.approx(2 / 200)
    assert math.isnan(bootstrap_p_value(np.array([1.0, np.nan])))


def test_bootstrap_p_value_below_the_level_never_goes_with_an_interval_that_holds_zero():
    for shift in np.linspace(0, 4, 41):
        draws = np.random.default_rng(1).normal(shift, 1, 999)
        low, high = percentile_interval(draws)
        p = bootstrap_p_value(draws)
        assert p >= 0.05 or low > 0 or high < 0
        assert p < 0.055 or low <= 0 <= high
