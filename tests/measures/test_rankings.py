import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.rankings import (
    average_ranks,
    friedman,
    groups,
    nemenyi_critical_difference,
    rank_contrasts,
)
from ensemble_vs_dropout.measures.significance import holm

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
sizes = {"seed": seeds, "data_sets": st.integers(2, 12), "arms": st.integers(2, 7)}
# Demsar (2006, table 6): mean ranks of four arms on 14 data sets
DEMSAR_RANKS = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}


def scores(seed, data_sets=9, arms=5, decimals=1):
    return np.random.default_rng(seed).normal(size=(data_sets, arms)).round(decimals)


@given(**sizes)
@few
def test_ranks_sum_to_the_same_on_every_data_set_and_on_average(seed, data_sets, arms):
    values = scores(seed, data_sets, arms)
    assert average_ranks(values).sum() == pytest.approx(arms * (arms + 1) / 2)
    for row in values:
        assert average_ranks([row, row]).sum() == pytest.approx(arms * (arms + 1) / 2)


@given(**sizes)
@few
def test_a_rank_is_one_more_than_the_arms_ahead_and_half_the_arms_level(seed, data_sets, arms):
    values = scores(seed, data_sets, arms)
    expected = [
        np.mean([1 + (row < row[j]).sum() + ((row == row[j]).sum() - 1) / 2 for row in values]) for j in range(arms)
    ]
    np.testing.assert_allclose(average_ranks(values), expected)
    np.testing.assert_allclose(average_ranks(values, higher_is_better=True), arms + 1 - np.array(expected))


@given(**sizes)
@few
def test_rankings_follow_the_arms_and_not_the_order_of_data_sets_nor_the_scale_of_scores(seed, data_sets, arms):
    values = scores(seed, data_sets, arms)
    rng = np.random.default_rng(seed)
    order = rng.permutation(arms)
    other = np.exp(values[rng.permutation(data_sets)][:, order]) * 7
    np.testing.assert_allclose(average_ranks(other), average_ranks(values)[order])
    assert friedman(other) == pytest.approx(friedman(values))
    assert friedman(-values) == pytest.approx(friedman(values))


@given(seed=seeds, data_sets=st.integers(2, 12), arms=st.integers(3, 7), decimals=st.sampled_from([0, 1, 9]))
@few
def test_friedman_agrees_with_scipy_with_and_without_ties(seed, data_sets, arms, decimals):
    values = scores(seed, data_sets, arms, decimals)
    theirs = stats.friedmanchisquare(*values.T) if (values != values[:, :1]).any() else (0, 1)
    ours = friedman(values)
    assert ours[:2] == pytest.approx(tuple(theirs))


@given(seed=seeds)
@few
def test_iman_and_davenports_f_is_made_from_chi_squared(seed):
    values = scores(seed)
    chi_squared, _, f, p = friedman(values)
    assert f == pytest.approx(8 * chi_squared / (9 * 4 - chi_squared))
    assert p == pytest.approx(stats.f.sf(f, 4, 32))


@given(seed=seeds)
@few
def test_iman_and_davenports_f_is_that_of_an_analysis_of_variance_of_the_ranks(seed):
    ranks = stats.rankdata(scores(seed, decimals=0), axis=1)
    of_arms = 9 * ((ranks.mean(axis=0) - 3) ** 2).sum()
    residual = ((ranks - ranks.mean(axis=0)) ** 2).sum()  # data sets have the same mean rank: no block effect
    assert friedman(ranks).f == pytest.approx((of_arms / 4) / (residual / 32))


def test_friedman_without_ties_has_the_textbook_form():
    values = np.random.default_rng(0).normal(size=(14, 4))
    expected = 12 * 14 / (4 * 5) * ((average_ranks(values) ** 2).sum() - 4 * 5**2 / 4)
    assert friedman(values).chi_squared == pytest.approx(expected)


def test_friedman_of_two_arms_is_the_squared_sign_test():
    values = np.column_stack([np.zeros(10), [1] * 7 + [-1] * 3])
    assert friedman(values).chi_squared == pytest.approx((7 - 3) ** 2 / 10)


def test_friedman_of_arms_that_tie_everywhere_shows_nothing():
    assert friedman(np.ones((4, 3))) == (0, 1, 0, 1)


@pytest.mark.parametrize("arms", [2, 3, 5, 7, 10])
@pytest.mark.parametrize("data_sets", [2, 3, 7, 9, 30])
def test_friedman_of_data_sets_that_all_agree_is_the_largest_possible(arms, data_sets):
    chi_squared, p, f, f_p = friedman(np.tile(np.arange(arms) ** 2, (data_sets, 1)))
    assert chi_squared == pytest.approx(data_sets * (arms - 1))
    assert p == pytest.approx(stats.chi2.sf(chi_squared, arms - 1))
    assert (f, f_p) == (math.inf, 0)


def test_critical_difference_has_the_tabulated_values():
    # Demsar (2006, table 5a), 2 to 10 arms; some printed last digits are off by one
    tables = {
        0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
        0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
    }
    for level, quantiles in tables.items():
        for arms, q in zip(range(2, 11), quantiles, strict=True):
            unit = math.sqrt(arms * (arms + 1) / (6 * 20))
            assert nemenyi_critical_difference(arms, 20, level) / unit == pytest.approx(q, abs=1.5e-3)
    assert nemenyi_critical_difference(5, 9) == pytest.approx(2.033, abs=5e-4)


def test_critical_difference_of_two_arms_is_the_normal_one_and_it_falls_with_the_data_sets():
    assert nemenyi_critical_difference(2, 25) == pytest.approx(stats.norm.ppf(0.975) / 5)
    assert nemenyi_critical_difference(4, 40) == pytest.approx(nemenyi_critical_difference(4, 10) / 2)
    assert nemenyi_critical_difference(4, 10, 0.01) > nemenyi_critical_difference(4, 10, 0.05)


@given(seed=seeds, data_sets=st.integers(2, 12), arms=st.integers(2, 6), higher=st.booleans())
@settings(max_examples=25, deadline=None)
def test_contrasts_hold_every_pair_and_nemenyis_are_shown_just_beyond_the_critical_difference(
    seed, data_sets, arms, higher
):
    values = scores(seed, data_sets, arms, decimals=0) + 2 * np.arange(arms)
    names = [f"arm {i}" for i in range(arms)]
    table = rank_contrasts(values, names, higher_is_better=higher)
    ranks = average_ranks(values, higher)
    assert list(zip(table.arm_a, table.arm_b, strict=True)) == list(combinations(names, 2))
    np.testing.assert_allclose(table.rank_difference, [a - b for a, b in combinations(ranks, 2)])
    critical = nemenyi_critical_difference(arms, data_sets)
    np.testing.assert_array_equal(table.p_adjusted < 0.05, table.rank_difference.abs() > critical)
    assert (table.p_adjusted >= table.p_value - 1e-9).all()
    assert table.p_adjusted.between(0, 1).all()


def test_holms_contrasts_adjust_the_normal_p_values_and_find_at_least_as_much():
    values = scores(1, 30, 4) + np.array([0, 0.5, 1, 1.2])
    by_nemenyi, by_holm = (rank_contrasts(values, list("abcd"), correction) for correction in ("nemenyi", "holm"))
    z = by_holm.rank_difference / math.sqrt(4 * 5 / (6 * 30))
    np.testing.assert_allclose(by_holm.p_value, 2 * stats.norm.cdf(-z.abs()))
    np.testing.assert_allclose(by_holm.p_adjusted, holm(by_holm.p_value))
    np.testing.assert_allclose(by_nemenyi.p_value, by_holm.p_value)
    assert (by_holm.p_adjusted < 0.05).sum() >= (by_nemenyi.p_adjusted < 0.05).sum() > 0


def test_contrast_of_two_arms_needs_no_correction():
    table = rank_contrasts(scores(0, 10, 2), ["a", "b"])
    np.testing.assert_allclose(table.p_adjusted, table.p_value, rtol=1e-6)


def groups_by_brute_force(ranks, critical):
    sets = [
        set(some)
        for size in range(1, len(ranks) + 1)
        for some in combinations(range(len(ranks)), size)
        if max(ranks[i] for i in some) - min(ranks[i] for i in some) <= critical + 1e-12
    ]
    return {frozenset(one) for one in sets if not any(one < other for other in sets)}


@given(ranks=st.lists(st.integers(4, 24).map(lambda n: n / 4), min_size=1, max_size=7), critical=st.integers(0, 24))
@settings(max_examples=100, deadline=None)
def test_groups_are_the_maximal_sets_within_the_critical_difference(ranks, critical):
    found = groups(ranks, critical / 4)
    assert {frozenset(one) for one in found} == groups_by_brute_force(ranks, critical / 4)
    assert len(found) == len(set(found))
    for one in found:
        assert [ranks[i] for i in one] == sorted(ranks[i] for i in one)
    assert [ranks[one[0]] for one in found] == sorted(ranks[one[0]] for one in found)


def test_groups_of_demsars_example():
    names, ranks = list(DEMSAR_RANKS), list(DEMSAR_RANKS.values())
    critical = nemenyi_critical_difference(4, 14, level=0.10)
    assert critical == pytest.approx(1.12, abs=0.005)
    found = [{names[i] for i in one} for one in groups(ranks, critical)]
    assert found == [{"C4.5+m+cf", "C4.5+m", "C4.5+cf"}, {"C4.5+cf", "C4.5"}]


@pytest.mark.parametrize(
    "values", [[[1, 2]], [[1], [2]], [1, 2], [[1, math.nan], [1, 2]], np.zeros((0, 3)), np.zeros((2, 2, 2))]
)
@pytest.mark.parametrize("function", [average_ranks, friedman, lambda v: rank_contrasts(v, ["a", "b"])])
def test_values_that_cannot_be_ranked_are_refused(function, values):
    with pytest.raises(InputError, match=r"values must have shape \(data sets, arms\)"):
        function(values)


def test_infinite_scores_have_ranks():
    assert average_ranks([[math.inf, 1, 2], [math.inf, 1, math.inf]]).tolist() == [2.75, 1, 2.25]


def test_names_corrections_and_levels_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="one for each of the 5 arms, got 2"):
        rank_contrasts(scores(0), ["a", "b"])
    with pytest.raises(InputError, match="unknown correction 'bonferroni'"):
        rank_contrasts(scores(0), list("abcde"), "bonferroni")
    for level in (0, 1, math.nan):
        with pytest.raises(InputError, match="level must lie between 0 and 1"):
            nemenyi_critical_difference(3, 5, level)
    with pytest.raises(InputError, match="arms must be a whole number of at least 2"):
        nemenyi_critical_difference(1, 5)
