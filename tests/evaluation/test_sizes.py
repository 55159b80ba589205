import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_vs_dropout.evaluation import Evaluator, size_curves
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.sizes import _subsets
from ensemble_vs_dropout.measures import brier, error, nll
from ensemble_vs_dropout.types import Predictions

few = settings(max_examples=20, deadline=None)
COLUMNS = ["arm", "rule", "members", "metric", "value", "low", "high"]
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


def test_random_subsets_come_near_the_average_over_all():
    probs, labels = pool_and_labels(members=12)
    exact, random = (curve(probs, labels, "brier", subsets=number) for number in (ALL, 60))
    np.testing.assert_allclose(random, exact, atol=0.03)
    assert random[1] == pytest.approx(exact[1])
    assert random[12] == pytest.approx(exact[12])


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
