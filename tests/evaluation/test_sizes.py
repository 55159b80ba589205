import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import Evaluator, enough, size_curves
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.sizes import _Pooling, _subsets
from ensemble_vs_dropout.measures import METRICS, RULES, aggregate, brier, error, nll
from ensemble_vs_dropout.types import Predictions

few = settings(max_examples=20, deadline=None)
COLUMNS = [
    "arm", "rule", "members", "metric", "value", "low", "high", "mc_error", "gain", "gain_low", "gain_high",
]  # fmt: skip
ALL = 10_000  # more than any pool here has subsets


def pool_and_labels(seed=0, members=6, examples=30, classes=3):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(classes, 0.5), (members, examples)) * 0.99 + 0.01 / classes
    return probs, rng.integers(classes, size=examples)


def curve(probs, labels, metric, **options):
    table = size_curves({"a": [Predictions(probs)]}, labels, [metric], **{"resamples": 100, "subsets": ALL} | options)
    return table.set_index("members").value


@given(seed=st.integers(0, 2**32 - 1), members=st.integers(2, 7))
@few
def test_brier_over_all_subsets_is_affine_in_one_over_their_size(seed, members):
    probs, labels = pool_and_labels(seed, members)
    of_members = np.mean([brier(p, labels).mean() for p in probs])
    spread = probs.var(axis=0, ddof=1).sum(axis=1).mean()
    for size, value in curve(probs, labels, "brier").items():
        assert value == pytest.approx(of_members - (1 - 1 / size) * spread, abs=1e-10)


@pytest.mark.parametrize(("metric", "function"), [("error", error), ("nll", nll), ("brier", brier)])
def test_size_one_is_the_mean_member_and_the_last_size_is_the_whole_pool(metric, function):
    probs, labels = pool_and_labels()
    values = curve(probs, labels, metric)
    assert values[1] == pytest.approx(np.mean([function(p, labels) for p in probs]))
    assert values[6] == pytest.approx(function(probs.mean(axis=0), labels).mean())


@pytest.mark.parametrize("metric", ["nll", "brier"])
@given(seed=st.integers(0, 2**32 - 1))
@few
def test_nll_and_brier_do_not_rise_with_size_over_all_subsets(metric, seed):
    probs, labels = pool_and_labels(seed)
    assert (np.diff(curve(probs, labels, metric)) <= 1e-12).all()


def test_error_can_rise_with_size():
    right, wrong = [0.6, 0.4], [0.1, 0.9]
    values = curve(np.array([[right], [right], [wrong]]), np.array([0]), "error")
    assert values[1] < values[2]


def test_sizes_end_with_the_pool_and_columns_are_as_documented():
    probs, labels = pool_and_labels(members=7)
    arms = {"big": [Predictions(probs)], "one": [Predictions(probs[:1])]}
    table = size_curves(arms, labels, resamples=100)
    assert table.columns.tolist() == COLUMNS
    assert table[(table.arm == "big") & (table.metric == "nll")].members.tolist() == [1, 2, 3, 5, 7]
    assert table[table.arm == "one"].members.tolist() == [1, 1, 1]
    assert (table.rule == "mean").all()


def test_repetitions_are_averaged():
    (first, labels), (second, _) = pool_and_labels(1), pool_and_labels(2)
    table = size_curves({"a": [Predictions(first), Predictions(second)]}, labels, ["nll"], subsets=ALL, resamples=100)
    alone = [curve(probs, labels, "nll").to_numpy() for probs in (first, second)]
    np.testing.assert_allclose(table.value, np.mean(alone, axis=0))


@pytest.mark.parametrize("size", [1, 3, 6, 11, 12])
def test_subsets_have_the_asked_size_and_no_member_twice(size):
    subsets = _subsets(12, size, 40, seed=0)
    assert len(subsets) == {1: 12, 11: 12, 12: 1}.get(size, 40)
    assert all(len(set(subset)) == size and set(subset) <= set(range(12)) for subset in subsets)


def test_random_subsets_come_within_their_stated_error_of_the_average_over_all():
    probs, labels = pool_and_labels(members=12)
    exact = curve(probs, labels, "nll")
    far = []
    for seed in range(40):
        table = size_curves({"a": [Predictions(probs)]}, labels, ["nll"], subsets=30, resamples=100, seed=seed)
        inner = table[table.members.isin([3, 5])]
        far += list((inner.value - exact[inner.members].to_numpy()) / inner.mc_error)
        ends = table[table.members.isin([1, 12])]
        assert (ends.mc_error == 0).all()
        np.testing.assert_allclose(ends.value, exact[ends.members])
    assert np.sqrt(np.mean(np.square(far))) == pytest.approx(1, abs=0.3)


@given(seed=st.integers(0, 2**32 - 1))
@few
def test_the_brier_score_of_random_subsets_is_that_of_all_of_them(seed):
    probs, labels = pool_and_labels(seed, members=9)
    np.testing.assert_allclose(curve(probs, labels, "brier", subsets=3), curve(probs, labels, "brier"), atol=1e-10)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"weighted_mean", "weighted_vote"}))
@pytest.mark.parametrize("zeros", [False, True])
def test_pooling_by_a_product_of_matrices_is_that_of_each_subset_alone(rule, zeros):
    probs, _ = pool_and_labels(members=7)
    if zeros:
        probs[:3, :10] = np.eye(3)[(np.arange(30).reshape(3, 10)) % 3]
    run = Predictions(probs)
    subsets = [[0, 1, 2], [2, 4, 5, 6], [3], [0, 1, 2, 3, 4, 5, 6]]
    for pooled, subset in zip(_Pooling(run, rule)(subsets), subsets, strict=True):
        np.testing.assert_allclose(pooled, aggregate(probs[subset], rule), atol=1e-12)


@pytest.mark.parametrize("rule", ["mean", "geometric_mean", "majority_vote", "weighted_mean"])
def test_weighted_members_keep_their_weights_among_each_other(rule):
    probs, _ = pool_and_labels(members=4)
    weights = np.array([0.5, 0.3, 0.2, 0.0])
    pooled = list(_Pooling(Predictions(probs, weights), rule)([[0, 2], [1, 3], [3]]))
    np.testing.assert_allclose(pooled[0], aggregate(probs[[0, 2]], rule, [5 / 7, 2 / 7]), atol=1e-12)
    np.testing.assert_allclose(pooled[1], aggregate(probs[[1]], rule, [1.0]), atol=1e-12)
    np.testing.assert_allclose(pooled[2], aggregate(probs[[3]], rule, [1.0]), atol=1e-12)


def test_votes_that_tie_in_a_subset_tie_exactly():
    votes = np.eye(3)[np.array([[0], [0], [0], [1], [1], [1], [2]])]
    (shares,) = _Pooling(Predictions(votes), "majority_vote")([[0, 1, 2, 3, 4, 5, 6]])
    assert shares[0, 0] == shares[0, 1] == 3 / 7


def test_the_vote_of_two_does_not_help_and_that_of_many_does():
    rng = np.random.default_rng(0)
    labels = np.zeros(4000, int)
    right = rng.random((11, 4000)) < 0.7
    probs = np.eye(2)[np.where(right, 0, 1)]
    flipped = rng.random(4000) < 0.5  # the first label wins ties: symmetric labels make that fair
    probs[:, flipped], labels[flipped] = probs[:, flipped][..., ::-1], 1
    table = size_curves({"a": Predictions(probs)}, labels, ["error"], rule="majority_vote", sizes=(1, 2, 3, 5))
    expected = [0.3, 0.3, 0.216, 0.1631, 0.0782]
    np.testing.assert_allclose(table.value, expected, atol=0.015)


def test_metrics_that_are_no_means_have_a_value_and_no_interval():
    probs, labels = pool_and_labels(members=4)
    table = size_curves({"a": Predictions(probs)}, labels, ["ece", "macro_f1"], resamples=100)
    for row in table[table.members == 4].itertuples():
        assert row.value == pytest.approx(METRICS[row.metric].value(probs.mean(axis=0), labels))
    assert table[["low", "high", "gain_low", "gain_high"]].isna().all(axis=None)


@pytest.mark.parametrize("metric", ["brier", "accuracy"])
def test_a_gain_is_how_much_better_it_gets_for_each_member_added(metric):
    probs, labels = pool_and_labels(members=7, examples=200)
    table = size_curves({"a": Predictions(probs)}, labels, [metric], subsets=ALL).set_index("members")
    sign = 1 if metric == "accuracy" else -1
    assert math.isnan(table.gain[1])
    assert table.gain[5] == pytest.approx(sign * (table.value[5] - table.value[3]) / 2)
    assert (table.gain_low[1:] <= table.gain[1:]).all()
    assert (table.gain[1:] <= table.gain_high[1:]).all()


def test_gains_stop_being_shown_where_members_stop_differing():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=400)
    logits = rng.normal(size=(20, 400, 3)) + 1.5 * np.eye(3)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    arms = {"differing": Predictions(probs), "alike": Predictions(np.repeat(probs[:1], 20, axis=0))}
    table = enough(size_curves(arms, labels, ["nll", "error"])).set_index(["arm", "metric"]).members
    assert table["differing", "nll"] == 20
    assert table["alike", "nll"] == table["alike", "error"] == 1
    assert 1 < table["differing", "error"] <= 20


def test_orders_are_the_same_for_all_sizes_so_that_gains_are_paired():
    orders = {size: _subsets(30, size, 40, seed=0) for size in (3, 5, 11)}
    for small, large in ((3, 5), (5, 11)):
        for few, more in zip(orders[small], orders[large], strict=True):
            assert more[:small] == few


def test_single_members_are_all_looked_at():
    probs, labels = pool_and_labels(members=30)
    table = size_curves({"a": Predictions(probs)}, labels, ["nll"], subsets=5, resamples=100).set_index("members")
    assert table.value[1] == pytest.approx(np.mean([nll(p, labels) for p in probs]))
    assert table.mc_error[1] == 0


def test_the_monte_carlo_error_falls_with_repetitions():
    runs = [Predictions(pool_and_labels(seed, members=12)[0]) for seed in range(4)]
    labels = pool_and_labels()[1]
    alone = [size_curves({"a": r}, labels, ["nll"], subsets=20, resamples=100).mc_error[2] for r in runs]
    together = size_curves({"a": runs}, labels, ["nll"], subsets=20, resamples=100).mc_error[2]
    assert together == pytest.approx(np.sqrt(np.square(alone).sum()) / 4)


def test_an_error_that_cannot_be_told_is_not_told():
    probs, labels = pool_and_labels(members=12)
    table = size_curves({"a": Predictions(probs)}, labels, ["nll"], subsets=1, resamples=100).set_index("members")
    assert math.isnan(table.mc_error[3])
    assert table.mc_error[12] == 0


def test_measures_without_intervals_have_no_size_that_is_enough():
    probs, labels = pool_and_labels(members=4)
    curves = size_curves({"a": Predictions(probs)}, labels, ["ece", "nll"], resamples=100)
    assert enough(curves).metric.tolist() == ["nll"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"metrics": ["eror"]}, "did you mean 'error'"),
        ({"rule": "means"}, "did you mean 'mean'"),
        ({"sizes": [0]}, "sizes must be a whole number of at least 1"),
        ({"subsets": 0}, "subsets must be"),
        ({"resamples": 10}, "resamples must be"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, match):
    probs, labels = pool_and_labels()
    with pytest.raises(InputError, match=match):
        size_curves({"a": Predictions(probs)}, labels, **options)
    with pytest.raises(InputError, match=r"must predict the 29 labelled examples, got \[30\]"):
        size_curves({"a": Predictions(probs)}, labels[:29])


def test_the_same_seed_gives_the_same_table_and_another_one_other_subsets():
    probs, labels = pool_and_labels(members=12)
    first, again, other = (curve(probs, labels, "nll", subsets=5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first[5] != other[5]


def test_intervals_bracket_the_values():
    probs, labels = pool_and_labels(examples=200)
    table = size_curves({"a": [Predictions(probs)]}, labels)
    assert ((table.low <= table.value) & (table.value <= table.high)).all()


def test_ends_of_the_curve_agree_with_the_evaluator():
    probs, labels = pool_and_labels()
    arms = {"a": [Predictions(probs)]}
    scores = Evaluator(metrics=["nll"], rules=[EACH, "mean"], resamples=100).scores(arms, labels)
    values = curve(probs, labels, "nll")
    np.testing.assert_allclose(scores.value, [values[1], values[6]])


def test_an_infinite_nll_stays_infinite_and_is_not_nan():
    probs, labels = pool_and_labels(members=3)
    probs[:, :20] = np.eye(3)[(labels[:20] + 1) % 3]
    table = size_curves({"a": [Predictions(probs)]}, labels, ["nll"], resamples=100)
    assert all(math.isinf(value) for value in table[["value", "high"]].to_numpy().ravel())


def test_the_whole_pool_keeps_its_weights():
    probs, labels = pool_and_labels(members=3)
    arms = {"a": [Predictions(probs, [0.8, 0.1, 0.1])]}
    scores = Evaluator(metrics=["nll"], rules=["mean"], resamples=100).scores(arms, labels)
    table = size_curves(arms, labels, ["nll"], resamples=100)
    assert table.value.iloc[-1] == pytest.approx(scores.value.iloc[0])
