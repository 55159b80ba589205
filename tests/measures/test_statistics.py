import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2

from ensemble_vs_dropout.measures.statistics import (
    EXACT_BELOW,
    bootstrap_p_value,
    bootstrap_weights,
    holm,
    mcnemar,
    percentile_interval,
)

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def errors_with(a_only, b_only, both=5, none=7):
    wrong_a = [1] * a_only + [0] * b_only + [1] * both + [0] * none
    wrong_b = [0] * a_only + [1] * b_only + [1] * both + [0] * none
    return np.array(wrong_a), np.array(wrong_b)


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


def test_bootstrap_weights_count_the_drawn_items():
    draws = np.random.default_rng(4).integers(6, size=(9, 6))
    expected = [[(row == item).sum() / 6 for item in range(6)] for row in draws]
    np.testing.assert_allclose(bootstrap_weights(np.random.default_rng(4), 6, 9), expected)


def test_percentile_interval_cuts_the_tails():
    assert percentile_interval(np.arange(1.0, 1001.0)) == pytest.approx((25, 975), abs=1)
    assert percentile_interval(np.arange(1.0, 1001.0), level=0.5) == pytest.approx((250, 750), abs=1)


def test_percentile_interval_keeps_infinity_and_does_not_invent_nan():
    assert percentile_interval(np.full(100, np.inf)) == (np.inf, np.inf)
    low, high = percentile_interval(np.r_[np.zeros(50), np.full(50, np.inf)])
    assert (low, high) == (0.0, np.inf)
    assert all(math.isnan(bound) for bound in percentile_interval(np.array([0.0, np.nan])))


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


@given(a_only=st.integers(0, 60), b_only=st.integers(0, 60), both=st.integers(0, 9), none=st.integers(1, 9))
@few
def test_difference_of_errors_is_that_of_the_disagreements_and_mcnemar_is_symmetric(a_only, b_only, both, none):
    wrong_a, wrong_b = errors_with(a_only, b_only, both, none)
    assert wrong_a.mean() - wrong_b.mean() == pytest.approx((a_only - b_only) / len(wrong_a))
    p, form = mcnemar(wrong_a, wrong_b)
    assert mcnemar(wrong_b, wrong_a) == (pytest.approx(p), form)
    assert 0 <= p <= 1


@pytest.mark.parametrize(("a_only", "b_only"), [(1, 0), (5, 2), (0, 9), (12, 12), (20, 4)])
def test_mcnemar_with_few_disagreements_is_the_binomial_test(a_only, b_only):
    p, form = mcnemar(*errors_with(a_only, b_only))
    assert form == "McNemar exact"
    assert p == pytest.approx(binomtest(a_only, a_only + b_only, 0.5).pvalue)


@pytest.mark.parametrize(("a_only", "b_only"), [(20, 5), (30, 30), (80, 40)])
def test_mcnemar_with_many_disagreements_is_the_corrected_chi_squared(a_only, b_only):
    p, form = mcnemar(*errors_with(a_only, b_only))
    assert form == "McNemar chi-squared"
    assert p == pytest.approx(chi2.sf((abs(a_only - b_only) - 1) ** 2 / (a_only + b_only), 1))


def test_mcnemar_changes_its_form_at_the_stated_number():
    assert mcnemar(*errors_with(EXACT_BELOW - 1, 0))[1] == "McNemar exact"
    assert mcnemar(*errors_with(EXACT_BELOW, 0))[1] == "McNemar chi-squared"


def test_mcnemar_without_disagreement_shows_nothing():
    assert mcnemar(*errors_with(0, 0)) == (1.0, "McNemar exact")


def test_holm_against_a_hand_computation():
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, made non-decreasing
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
    np.testing.assert_allclose(holm([0.03]), [0.03])


def test_holm_does_not_count_undefined_tests():
    np.testing.assert_allclose(holm([np.nan, 0.01, np.nan, 0.04]), [np.nan, 0.02, np.nan, 0.04])
    assert np.isnan(holm([np.nan, np.nan])).all()
    assert holm([]).shape == (0,)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= -1e-12).all()
