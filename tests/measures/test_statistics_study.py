"""The statistics on data whose truth is known: how often tests raise false alarms, and intervals hold the truth.

A rate counts as within its level if the lower end of its own 99 % interval (Clopper and Pearson) is.
"""

import numpy as np
import pytest
from scipy import stats

from ensemble_vs_dropout.measures.rankings import average_ranks, friedman, nemenyi_critical_difference, rank_contrasts
from ensemble_vs_dropout.measures.resampling import (
    bca_interval,
    bootstrap_p_value,
    bootstrap_weights,
    jackknife_weights,
    percentile_interval,
)
from ensemble_vs_dropout.measures.significance import (
    benjamini_hochberg,
    corrected_t_test,
    holm,
    mcnemar,
    permutation_test,
    sign_test,
    wilcoxon,
)

pytestmark = pytest.mark.slow

LEVEL = 0.05
COVERAGE = 0.95


def interval(hits):
    """Where the true rate is, given that many hits."""
    hits = np.asarray(hits)
    return stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(0.99, method="exact")


def errors(rng, trials, examples, b_errs=1.0):
    """Errors of two models on the same examples, of which some are hard for both; A's error is 20 %."""
    difficulty = rng.beta(0.2, 0.8, size=(trials, examples))
    return rng.random(difficulty.shape) < difficulty, rng.random(difficulty.shape) < b_errs * difficulty


def losses(rng, trials, examples):
    """Skewed losses of two equal models on the same examples, of which some are hard for both."""
    difficulty = np.exp(rng.normal(size=(trials, examples)))
    return difficulty * rng.exponential(size=difficulty.shape), difficulty * rng.exponential(size=difficulty.shape)


def mcnemar_alarms(form, examples, trials=2500, **given):
    wrong_a, wrong_b = errors(np.random.default_rng(examples), trials, examples, **given)
    return np.array([mcnemar(a, b, form)[0] < LEVEL for a, b in zip(wrong_a, wrong_b, strict=True)])


def bootstrap_alarms(pairs, resamples=499):
    rng = np.random.default_rng(2)
    return [
        bootstrap_p_value(bootstrap_weights(rng, len(a), resamples) @ (a - b.astype(float))) < LEVEL
        for a, b in zip(*pairs, strict=True)
    ]


def permutation_alarms(pairs, resamples):
    return [permutation_test(a, b, resamples) < LEVEL for a, b in zip(*pairs, strict=True)]


def split_differences(rng, examples=200, splits=15, held_out=0.1, features=4):
    """Differences in error between two nearest-mean classifiers over random splits of one finite sample.

    Each sees features of its own, drawn alike: neither way of training is better.
    """
    labels = rng.choice([-1.0, 1.0], size=examples)
    test = rng.random((splits, examples)).argsort(axis=1) < held_out * examples
    wrong = []
    for _ in range(2):
        x = 0.5 * labels[:, None] + rng.normal(size=(examples, features))
        means = [(~test & (labels == k)) @ x / (~test & (labels == k)).sum(axis=1, keepdims=True) for k in (-1, 1)]
        direction, middle = means[1] - means[0], (means[0] + means[1]) / 2
        scores = direction @ x.T - (direction * middle).sum(axis=1, keepdims=True)
        wrong.append(((np.sign(scores) != labels) & test).sum(axis=1) / test.sum(axis=1))
    return wrong[0] - wrong[1]


def split_alarms(held_out, share, trials=1500):
    rng = np.random.default_rng(int(100 * held_out))
    return [corrected_t_test(split_differences(rng, held_out=held_out), share)[1] < LEVEL for _ in range(trials)]


def holds(bounds, truth):
    return bounds[0] <= truth <= bounds[1]


def coverage_over_examples(draw, truth, examples, trials=1000, resamples=999):
    """Whether each percentile and each BCa interval of a mean over examples holds the truth: shape (trials, 2)."""
    rng, left_out = np.random.default_rng(0), jackknife_weights(examples)
    covered = []
    for _ in range(trials):
        values = draw(rng, examples)
        draws = bootstrap_weights(rng, examples, resamples) @ values
        bca = bca_interval(draws, values.mean(), left_out @ values)
        covered.append([holds(percentile_interval(draws), truth), holds(bca, truth)])
    return np.array(covered)


def coverage_over_repetitions(repetitions, examples=100, spread=0.5, trials=2000, resamples=499):
    """Likewise of a mean over repetitions crossed with examples; the truth is 0.

    Repetitions differ by the standard deviation `spread`, examples by 1, and each pair of them by 1 more.
    """
    rng = np.random.default_rng(repetitions)
    covered = []
    for _ in range(trials):
        of_repetition = spread * rng.normal(size=(repetitions, 1))
        of_example = rng.exponential(size=examples) - 1
        scores = of_repetition + of_example + rng.normal(size=(repetitions, examples))
        repeats, items = (bootstrap_weights(rng, size, resamples) for size in scores.shape)
        draws = (repeats * (items @ scores.T)).sum(axis=1)
        levels = [jackknife_weights(repetitions) @ scores.mean(axis=1), jackknife_weights(examples) @ scores.mean(0)]
        bca = bca_interval(draws, scores.mean(), levels)
        covered.append([holds(percentile_interval(draws), 0), holds(bca, 0)])
    return np.array(covered)


@pytest.mark.parametrize("examples", [30, 80, 1000])
@pytest.mark.parametrize("form", ["auto", "exact", "mid-p", "chi-squared"])
def test_mcnemar_raises_no_more_false_alarms_than_its_level(form, examples):
    alarms = interval(mcnemar_alarms(form, examples))
    assert alarms.low <= LEVEL
    if examples == 1000 or (form == "mid-p" and examples == 80):  # else cautious by construction
        assert alarms.high >= 0.7 * LEVEL


def test_mid_p_is_less_cautious_than_the_exact_form():
    exact, mid_p = (mcnemar_alarms(form, 80) for form in ("exact", "mid-p"))
    assert (mid_p >= exact).all()
    assert interval(exact).high < mid_p.mean()


@pytest.mark.parametrize(("kind", "examples"), [(errors, 50), (errors, 200), (losses, 800)])
def test_paired_bootstrap_raises_no_more_false_alarms_than_its_level(kind, examples):
    alarms = interval(bootstrap_alarms(kind(np.random.default_rng(1), 2000, examples)))
    assert alarms.low <= LEVEL
    assert alarms.high >= 0.7 * LEVEL


def test_paired_bootstrap_of_few_losses_with_a_heavy_tail_is_too_bold_where_the_permutation_test_is_not():
    pairs = losses(np.random.default_rng(1), 3000, 50)
    alarms = interval(bootstrap_alarms(pairs))
    assert LEVEL < alarms.low < alarms.high < 2 * LEVEL  # measured: 0.08
    assert holds(interval(permutation_alarms(pairs, resamples=599)), LEVEL)


@pytest.mark.parametrize("kind", [errors, losses])
@pytest.mark.parametrize("examples", [9, 150])
def test_permutation_test_raises_no_more_false_alarms_than_its_level(kind, examples):
    alarms = interval(permutation_alarms(kind(np.random.default_rng(3), 1500, examples), resamples=599))
    assert alarms.low <= LEVEL
    if kind is losses or examples == 150:  # nine errors of 0 and 1 can hardly show anything
        assert alarms.high >= 0.6 * LEVEL


@pytest.mark.parametrize("held_out", [0.1, 0.3])
def test_corrected_t_test_over_splits_of_one_sample_keeps_its_level_and_the_naive_one_does_not(held_out):
    corrected, naive = (interval(split_alarms(held_out, share)) for share in (held_out / (1 - held_out), 0.0))
    assert corrected.low <= LEVEL
    assert corrected.high >= 0.5 * LEVEL
    assert naive.low > 3 * LEVEL


@pytest.mark.parametrize("test", [wilcoxon, sign_test])
@pytest.mark.parametrize("data_sets", [8, 30])
def test_tests_over_data_sets_raise_no_more_false_alarms_than_their_level(test, data_sets):
    differences = np.random.default_rng(data_sets).standard_t(3, size=(2500, data_sets))
    alarms = interval([test(d) < LEVEL for d in differences])
    assert alarms.low <= LEVEL
    if test is wilcoxon:
        assert alarms.high >= 0.7 * LEVEL


@pytest.mark.parametrize("data_sets", [8, 30])
def test_friedman_and_nemenyi_raise_no_more_false_alarms_than_their_level_in_the_whole_family(data_sets):
    values = np.random.default_rng(data_sets).normal(size=(2500, data_sets, 5))
    values += np.random.default_rng(0).normal(size=(2500, data_sets, 1))  # data sets differ, arms do not
    critical = nemenyi_critical_difference(5, data_sets)
    nemenyi = interval([np.ptp(average_ranks(v)) > critical for v in values])
    tests = [friedman(v) for v in values]
    f, chi_squared = (interval([getattr(t, name) < LEVEL for t in tests]) for name in ("f_p", "chi_squared_p"))
    for alarms in (nemenyi, f, chi_squared):
        assert alarms.low <= LEVEL
        assert alarms.high >= 0.6 * LEVEL


def test_holms_rank_contrasts_raise_no_more_false_alarms_than_their_level_in_the_whole_family():
    values = np.random.default_rng(0).normal(size=(1500, 12, 4))
    alarms = interval([(rank_contrasts(v, list("abcd"), "holm").p_adjusted < LEVEL).any() for v in values])
    assert alarms.low <= LEVEL
    assert alarms.high >= 0.5 * LEVEL


@pytest.mark.parametrize("real", [0, 5])
def test_holm_keeps_the_level_of_the_whole_family_of_correlated_tests_where_uncorrected_ones_do_not(real):
    rng = np.random.default_rng(real)
    z = np.sqrt(0.3) * rng.normal(size=(3000, 1)) + np.sqrt(0.7) * rng.normal(size=(3000, 10))
    z[:, :real] += 3
    p = 2 * stats.norm.sf(np.abs(z))
    family = interval([(holm(row)[real:] < LEVEL).any() for row in p])
    assert family.low <= LEVEL
    assert family.high >= 0.5 * LEVEL
    assert interval((p[:, real:] < LEVEL).any(axis=1)).low > 2 * LEVEL


def test_the_share_of_false_discoveries_under_benjamini_and_hochberg_is_the_level_times_the_share_of_nulls():
    z = np.random.default_rng(0).normal(size=(4000, 20)) + np.repeat([3.0, 0.0], 10)
    found = np.array([benjamini_hochberg(row) for row in 2 * stats.norm.sf(np.abs(z))]) < LEVEL
    false = found[:, 10:].sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    error = 2.6 * false.std() / np.sqrt(len(false))
    assert abs(false.mean() - LEVEL / 2) < error < LEVEL / 10
    by_holm = np.array([holm(row) for row in 2 * stats.norm.sf(np.abs(z))]) < LEVEL
    assert found[:, :10].mean() > by_holm[:, :10].mean() + 0.05


POPULATIONS = {
    "errors": (lambda rng, n: (rng.random(n) < 0.1).astype(float), 0.1),
    "losses": (lambda rng, n: rng.exponential(size=n), 1.0),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_intervals_over_many_examples_hold_the_truth_as_often_as_they_claim(name):
    for covered in coverage_over_examples(*POPULATIONS[name], examples=200).T:
        held = interval(covered)
        assert held.low <= COVERAGE + 0.01
        assert held.high >= COVERAGE


def test_intervals_over_few_skewed_examples_hold_the_truth_too_seldom_and_bca_helps():
    percentile, bca = coverage_over_examples(*POPULATIONS["losses"], examples=15).T
    assert interval(percentile).high < COVERAGE
    assert 0.85 < percentile.mean() < bca.mean() < COVERAGE


def test_intervals_over_repetitions_and_examples_need_many_repetitions():
    # Measured where repetitions matter most, the same for both kinds: 0.73, 0.83, 0.90 and 0.95.
    two, three, five, twenty = (coverage_over_repetitions(repetitions).T for repetitions in (2, 3, 5, 20))
    for kind in (0, 1):
        assert 0.68 < two[kind].mean() < 0.78 < three[kind].mean() < 0.87 < five[kind].mean()
        assert interval(five[kind]).high < COVERAGE
        assert holds(interval(twenty[kind]), COVERAGE)


def test_intervals_over_three_repetitions_that_hardly_differ_are_not_far_from_what_they_claim():
    for covered in coverage_over_repetitions(3, spread=0.1).T:
        assert 0.93 < covered.mean() < 0.98


def test_a_paired_test_finds_more_than_an_unpaired_one_on_errors_that_are_correlated():
    pairs = errors(np.random.default_rng(400), 1500, 400, b_errs=0.75)
    paired = mcnemar_alarms("auto", 400, trials=1500, b_errs=0.75)
    unpaired = stats.ttest_ind(*pairs, axis=1).pvalue < LEVEL
    only_paired, only_unpaired = int((paired & ~unpaired).sum()), int((unpaired & ~paired).sum())
    assert stats.binomtest(only_paired, only_paired + only_unpaired).proportion_ci(0.99).low > 0.8
    assert interval(paired).low > interval(unpaired).high + 0.05
