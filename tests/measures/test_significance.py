import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures.significance import (
    CHI_SQUARED_FROM,
    MID_P_FROM,
    benjamini_hochberg,
    cohens_d,
    corrected_t_test,
    holm,
    mcnemar,
    odds_ratio,
    permutation_test,
    rank_biserial,
    sign_test,
    wilcoxon,
)

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
FORMS = ("auto", "exact", "mid-p", "chi-squared")
OF_DIFFERENCES = (wilcoxon, sign_test, cohens_d, rank_biserial, lambda d: corrected_t_test(d, 0.5))


def errors_with(a_only, b_only, both=5, none=7):
    wrong_a = [1] * a_only + [0] * b_only + [1] * both + [0] * none
    wrong_b = [0] * a_only + [1] * b_only + [1] * both + [0] * none
    return np.array(wrong_a), np.array(wrong_b)


@given(a_only=st.integers(0, 60), b_only=st.integers(0, 60), both=st.integers(0, 9), none=st.integers(1, 9))
@few
def test_difference_of_errors_is_that_of_the_disagreements_and_mcnemar_is_symmetric(a_only, b_only, both, none):
    wrong_a, wrong_b = errors_with(a_only, b_only, both, none)
    assert wrong_a.mean() - wrong_b.mean() == pytest.approx((a_only - b_only) / len(wrong_a))
    order = np.random.default_rng(both).permutation(len(wrong_a))
    for wanted in FORMS:
        p, form = mcnemar(wrong_a, wrong_b, wanted)
        assert mcnemar(wrong_b, wrong_a, wanted) == (pytest.approx(p), form)
        assert mcnemar(wrong_a[order], wrong_b[order], wanted) == (p, form)
        assert 0 < p <= 1
        assert form == f"McNemar {wanted}" or wanted == "auto"


@given(a_only=st.integers(0, 60), b_only=st.integers(0, 60))
@few
def test_mid_p_is_the_exact_p_value_less_the_probability_of_what_was_seen(a_only, b_only):
    exact, mid_p = (mcnemar(*errors_with(a_only, b_only), form)[0] for form in ("exact", "mid-p"))
    seen = math.comb(a_only + b_only, a_only) / 2 ** (a_only + b_only)
    assert mid_p == pytest.approx(1 if a_only == b_only else exact - seen)
    assert mid_p <= exact


def test_mid_p_by_hand():
    # 2 of 14: 2 (1 + 14 + 91) / 2**14 less 91 / 2**14
    assert mcnemar(*errors_with(12, 2)) == (pytest.approx(121 / 2**14), "McNemar mid-p")


@pytest.mark.parametrize(("a_only", "b_only"), [(1, 0), (5, 2), (0, 9), (4, 4), (12, 12), (20, 4), (300, 200)])
def test_the_exact_form_is_the_binomial_test(a_only, b_only):
    p, form = mcnemar(*errors_with(a_only, b_only), form="exact")
    assert form == "McNemar exact"
    assert p == pytest.approx(stats.binomtest(a_only, a_only + b_only, 0.5).pvalue)


@pytest.mark.parametrize(("a_only", "b_only"), [(1, 0), (20, 5), (80, 40), (300, 301)])
def test_the_chi_squared_form_is_corrected_for_continuity(a_only, b_only):
    wrong_a, wrong_b = errors_with(a_only, b_only)
    p, form = mcnemar(wrong_a, wrong_b, form="chi-squared")
    assert form == "McNemar chi-squared"
    assert p == pytest.approx(stats.chi2.sf((abs(a_only - b_only) - 1) ** 2 / (a_only + b_only), 1))
    table = [[5, a_only], [b_only, 7]]
    assert p == pytest.approx(statsmodels_mcnemar(table, exact=False, correction=True).pvalue)


def test_mcnemar_changes_its_form_at_the_stated_numbers():
    for pairs, form in (
        (MID_P_FROM - 1, "exact"),
        (MID_P_FROM, "mid-p"),
        (CHI_SQUARED_FROM - 1, "mid-p"),
        (CHI_SQUARED_FROM, "chi-squared"),
    ):
        assert mcnemar(*errors_with(pairs, 0)) == mcnemar(*errors_with(pairs, 0), form)
        assert mcnemar(*errors_with(pairs, 0))[1] == f"McNemar {form}"


def test_mcnemar_without_disagreement_or_with_balance_shows_nothing_in_any_form():
    assert mcnemar(*errors_with(0, 0)) == (1.0, "McNemar exact")
    for count, form in product((0, 1, 8, 30), FORMS):
        assert mcnemar(*errors_with(count, count), form)[0] == 1


def test_odds_ratio_is_that_of_the_errors_made_alone():
    assert odds_ratio(*errors_with(12, 4)) == 3
    assert odds_ratio(*errors_with(4, 12)) == pytest.approx(1 / 3)
    assert odds_ratio(*errors_with(3, 0)) == math.inf
    assert odds_ratio(*errors_with(0, 3)) == 0
    assert math.isnan(odds_ratio(*errors_with(0, 0)))


@pytest.mark.parametrize("function", [mcnemar, odds_ratio])
@pytest.mark.parametrize(
    ("a", "b"), [([1, 0], [1]), ([], []), ([[1]], [[0]]), ([2, 0], [0, 1]), ([0, 1], [0.5, 1]), ([0, 1], [math.nan, 1])]
)
def test_errors_that_are_not_paired_or_not_zero_and_one_are_refused(function, a, b):
    with pytest.raises(InputError, match=r"wrong_|examples"):
        function(a, b)


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match=r"did you mean 'mid-p'.*known: auto, exact"):
        mcnemar([1], [0], form="midp")


def by_enumeration(differences):
    means = [np.mean(np.multiply(signs, differences)) for signs in product((1, -1), repeat=len(differences))]
    return np.mean(np.abs(means) >= abs(np.mean(differences)) - 1e-12)


@given(seed=seeds, size=st.integers(1, 8))
@few
def test_permutation_test_of_few_examples_counts_all_signs(seed, size):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(5, size=(2, size)) / 10  # tenths: ties, zeros, and sums that round differently
    p = permutation_test(a, b)
    assert p == pytest.approx(by_enumeration(a - b))
    order = rng.permutation(size)
    assert permutation_test(b[order], a[order]) == p


@pytest.mark.parametrize(("a_only", "b_only"), [(0, 0), (1, 0), (4, 2), (3, 3), (1, 8), (2, 11)])
def test_permutation_test_of_errors_is_the_exact_form_of_mcnemar(a_only, b_only):
    errors = errors_with(a_only, b_only, both=50, none=50)
    assert permutation_test(*errors) == pytest.approx(mcnemar(*errors, form="exact")[0])


def test_permutation_test_of_many_examples_agrees_with_scipy_and_with_the_full_count():
    rng = np.random.default_rng(0)
    a, b = rng.exponential(size=15), 1.6 * rng.exponential(size=15)
    theirs = stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", n_resamples=math.inf, alternative="two-sided"
    ).pvalue
    assert 0.05 < theirs < 0.9
    assert permutation_test(a, b, resamples=2**15) == pytest.approx(theirs)
    assert permutation_test(a, b, resamples=2**15 - 1) == pytest.approx(theirs, abs=0.01)


def test_random_signs_depend_on_the_seed_alone_and_not_on_the_batches(monkeypatch):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 40))
    assert permutation_test(a, b, 999, seed=1) == permutation_test(a, b, 999, seed=1)
    assert len({permutation_test(a, b, 999, seed=seed) for seed in range(5)}) > 1
    monkeypatch.setattr("ensemble_vs_dropout.measures.significance._FLIPS", 1000)
    batched = permutation_test(a, b, 999, seed=1)
    monkeypatch.undo()
    assert batched == pytest.approx(permutation_test(a, b, 999, seed=1), abs=0.06)


def test_a_p_value_from_random_signs_is_never_zero():
    assert permutation_test(np.ones(100), np.zeros(100), resamples=199) == 1 / 200


def test_permutation_test_of_a_score_that_is_infinite_is_undefined():
    assert math.isnan(permutation_test([math.inf, 1.0], [0.0, 1.0]))
    assert math.isnan(permutation_test([math.inf, 1.0], [math.inf, 1.0]))


def test_permutation_test_refuses_what_is_not_paired():
    with pytest.raises(InputError, match=r"got \(2,\) and \(3,\)"):
        permutation_test([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="resamples must be a whole number of at least 1"):
        permutation_test([1, 2], [1, 3], resamples=0)


@given(seed=seeds)
@few
def test_corrected_t_test_without_a_share_is_the_paired_t_test_and_falls_with_the_share(seed):
    d = np.random.default_rng(seed).normal(0.5, 1, size=10)
    t, p = corrected_t_test(d, 0)
    theirs = stats.ttest_1samp(d, 0)
    assert (t, p) == pytest.approx((theirs.statistic, theirs.pvalue))
    corrected, larger = corrected_t_test(d, 1 / 9)
    assert corrected == pytest.approx(t / math.sqrt(1 + 10 / 9))
    assert larger >= p
    assert corrected_t_test(-d, 1 / 9) == pytest.approx((-corrected, larger))


def test_corrected_t_test_of_twenty_splits_into_ten_and_ninety_percent():
    d = np.random.default_rng(0).normal(0.5, 1, size=20)
    naive, _ = corrected_t_test(d, 0)
    assert naive / corrected_t_test(d, 10 / 90)[0] == pytest.approx(1.795, abs=5e-4)


def test_equal_differences_have_an_infinite_t_and_zeros_none():
    assert corrected_t_test([0.1, 0.1, 0.1], 0.1) == (math.inf, 0)
    assert corrected_t_test([-0.1, -0.1], 0.1) == (-math.inf, 0)
    assert corrected_t_test([0, 0, 0], 0.1) == (0, 1)
    assert (cohens_d([0.1] * 7), cohens_d([-3, -3]), cohens_d([0, 0])) == (math.inf, -math.inf, 0)


@pytest.mark.parametrize("share", [-0.1, math.inf, math.nan])
def test_a_share_that_is_no_ratio_of_sizes_is_refused(share):
    with pytest.raises(InputError, match="n_test / n_train"):
        corrected_t_test([1, 2], share)


def wilcoxon_by_enumeration(d):
    ranks = stats.rankdata(np.abs(d))
    sums = [np.dot(signs, ranks * (d != 0)) for signs in product((1, -1), repeat=len(d))]
    return np.mean(np.abs(sums) >= abs(np.sign(d) @ ranks) - 1e-9)


@given(seed=seeds, size=st.integers(2, 8), decimals=st.sampled_from([0, 6]))
@few
def test_wilcoxon_of_few_data_sets_counts_all_signs(seed, size, decimals):
    d = np.random.default_rng(seed).normal(0.5, 2, size=size).round(decimals)
    assert wilcoxon(d) == pytest.approx(wilcoxon_by_enumeration(d))


def test_wilcoxon_of_many_data_sets_without_zeros_is_that_of_scipy():
    d = np.random.default_rng(0).normal(0.3, 1, size=60)
    assert wilcoxon(d) == pytest.approx(stats.wilcoxon(d).pvalue)


def test_wilcoxon_ranks_zeros_and_leaves_them_out_also_where_it_approximates():
    d = np.array([1, 2, 3, 4, 5, 6, -7, 8, -9, 10.0])
    many = np.r_[np.zeros(40), d]
    sums = [np.dot(signs, np.arange(41, 51)) for signs in product((1, -1), repeat=10)]
    exact = np.mean(np.abs(sums) >= abs(np.sign(d) @ np.arange(41, 51)))
    assert wilcoxon(many) == pytest.approx(exact, abs=0.04)
    assert abs(wilcoxon(d) - exact) > 0.04


def test_sign_test_leaves_zeros_out():
    d = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -0.5]
    assert sign_test([*d, 0.0, 0.0]) == sign_test(d) == pytest.approx(stats.binomtest(6, 7).pvalue)


@given(a_only=st.integers(0, 30), b_only=st.integers(0, 30))
@few
def test_sign_test_of_errors_is_the_exact_form_of_mcnemar(a_only, b_only):
    wrong_a, wrong_b = errors_with(a_only, b_only)
    assert sign_test(wrong_a - wrong_b) == pytest.approx(mcnemar(wrong_a, wrong_b, "exact")[0])


@pytest.mark.parametrize("test", [wilcoxon, sign_test])
@pytest.mark.parametrize("size", [1, 2, 30, 100])
def test_no_difference_on_any_data_set_shows_nothing(test, size):
    assert test(np.zeros(size)) == 1


@given(seed=seeds, size=st.one_of(st.integers(2, 9), st.integers(14, 60)))
@few
def test_tests_of_differences_do_not_depend_on_order_or_sign_and_sizes_turn_with_the_sign(seed, size):
    rng = np.random.default_rng(seed)
    d = rng.normal(0.5, 1, size=size).round(1)
    shuffled = rng.permutation(d)
    for test in (wilcoxon, sign_test):
        assert test(-shuffled) == pytest.approx(test(d))
        assert 0 < test(d) <= 1
    for effect in (cohens_d, rank_biserial):
        assert effect(-shuffled) == pytest.approx(-effect(d), nan_ok=True)


@given(seed=seeds, size=st.integers(1, 40))
@few
def test_rank_biserial_is_the_difference_of_the_shares_of_ranks(seed, size):
    d = np.random.default_rng(seed).normal(0.5, 1, size=size)
    ranks = stats.rankdata(np.abs(d))
    assert rank_biserial(d) == pytest.approx((ranks[d > 0].sum() - ranks[d < 0].sum()) / (size * (size + 1) / 2))
    assert rank_biserial(np.abs(d)) == pytest.approx(1)
    assert rank_biserial(-np.exp(d)) == pytest.approx(-1)


def test_rank_biserial_of_zeros_is_zero_and_zeros_pull_towards_it():
    assert rank_biserial([0, 0]) == 0
    assert 0 < rank_biserial([0, 0, 1, 2]) < rank_biserial([1, 2]) == 1


def test_cohens_d_is_the_mean_in_standard_deviations():
    d = np.random.default_rng(0).normal(1, 2, size=25)
    assert cohens_d(d) == pytest.approx(d.mean() / np.std(d, ddof=1))
    assert cohens_d(d) == pytest.approx(stats.ttest_1samp(d, 0).statistic / 5)
    assert cohens_d(d * 100) == pytest.approx(cohens_d(d))


@pytest.mark.parametrize("function", OF_DIFFERENCES)
def test_a_nan_among_differences_makes_the_result_nan(function):
    assert np.isnan(function([0.1, math.nan, 0.3])).all()
    assert np.isnan(function([0.0, math.nan, 0.0])).all()


def test_infinite_differences_have_the_highest_ranks_but_no_mean():
    d = [0.1, -0.2, 0.3, math.inf]
    finite = [0.1, -0.2, 0.3, 9.0]
    for function in (wilcoxon, sign_test, rank_biserial):
        assert function(d) == function(finite)
    assert math.isnan(cohens_d(d))
    assert np.isnan(corrected_t_test(d, 0.1)).all()


@pytest.mark.parametrize("function", OF_DIFFERENCES)
@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 1.0])
def test_differences_that_are_no_row_are_refused(function, values):
    with pytest.raises(InputError, match="differences must be at least"):
        function(values)


def test_holm_against_a_hand_computation():
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, made non-decreasing
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
    np.testing.assert_allclose(holm([0.03]), [0.03])


def test_benjamini_hochberg_against_a_hand_computation():
    # sorted .01 .02 .03 .04 times 4/1 4/2 4/3 4/4 = .04 .04 .04 .04
    np.testing.assert_allclose(benjamini_hochberg([0.03, 0.01, 0.04, 0.02]), 0.04)
    np.testing.assert_allclose(benjamini_hochberg([0.001, 0.5, 0.9]), [0.003, 0.75, 0.9])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_corrections_do_not_count_undefined_tests(adjust):
    np.testing.assert_allclose(adjust([np.nan, 0.01, np.nan, 0.04]), [np.nan, 0.02, np.nan, 0.04])
    assert np.isnan(adjust([np.nan, np.nan])).all()
    assert adjust([]).shape == (0,)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_corrections_leave_what_they_are_given_as_it_was(adjust):
    given_values = np.array([0.01, 0.02])
    adjust(given_values)
    np.testing.assert_array_equal(given_values, [0.01, 0.02])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [[-0.1, 0.5], [1.1], [[0.1]], 0.1])
def test_values_that_are_no_p_values_are_refused(adjust, p):
    with pytest.raises(InputError, match="p_values must be"):
        adjust(p)


@given(p=st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=12))
@few
def test_corrections_never_lower_a_p_value_and_keep_their_order(p):
    by_holm, by_bh = holm(p), benjamini_hochberg(p)
    for adjusted in (by_holm, by_bh):
        assert (adjusted >= np.array(p) - 1e-15).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[np.argsort(p)]) >= -1e-12).all()
    assert (by_bh <= by_holm + 1e-15).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 9])
def test_corrections_agree_with_statsmodels(size):
    p = np.random.default_rng(size).random(size).round(1) ** 3  # with ties
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])
