import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.evaluation import equal_cost, equivalence, size_curves
from ensemble_vs_dropout.evaluation.arms import EACH
from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.evaluation.equivalence import resampled, worth_of
from ensemble_vs_dropout.measures import METRICS
from ensemble_vs_dropout.types import Cost, Predictions

few = settings(max_examples=20, deadline=None)
PROPER = ["nll", "brier", "calibrated_nll"]


def network_members(seed=0, members=6, examples=150, classes=3, shared=1.0, own=1.5):
    """Members whose logits share a part and differ in the rest, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=examples)
    common = shared * rng.normal(size=(examples, classes)) + 1.5 * np.eye(classes)[labels]
    logits = common + own * rng.normal(size=(members, examples, classes))
    probs = np.exp(logits)
    return probs / probs.sum(axis=2, keepdims=True), labels


def worth(arms, labels, metric="nll", **options):
    table = equivalence(arms, labels, metric=metric, **{"resamples": 100, "subsets": 1000} | options)
    return table.set_index("arm").worth


@pytest.mark.parametrize("metric", PROPER)
def test_an_ensemble_of_m_is_worth_m_and_a_single_network_one(metric):
    probs, labels = network_members()
    arms = {name: [Predictions(probs)] * 2 for name in ("ensemble", "single")}
    table = equivalence(arms, labels, metric=metric, rules={"single": EACH}, resamples=200).set_index("arm")
    assert table.worth["ensemble"] == pytest.approx(6)
    assert table.worth["single"] == 1
    assert table.high["single"] == 1
    assert table.high["ensemble"] == pytest.approx(6)
    assert table.members.tolist() == [6, 1]
    assert (table.pool == 6).all()


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 5))
@few
def test_the_value_of_the_curve_at_m_is_worth_m(seed, size):
    probs, labels = network_members(seed, examples=60)
    values = size_curves({"a": Predictions(probs)}, labels, ["brier"], sizes=range(1, 7), subsets=1000).value
    curve = values.to_numpy()[None]
    assert worth_of(curve, curve[:, [size - 1]], np.arange(1.0, 7))[0, 0] == pytest.approx(size)
    between = (curve[0, size - 2] + curve[0, size - 1]) / 2
    assert worth_of(curve, np.array([[between]]), np.arange(1.0, 7))[0, 0] == pytest.approx(size - 0.5)


def test_what_leaves_the_pool_is_worth_more_than_all_and_what_is_worse_than_one_counts_as_one():
    probs, labels = network_members()
    sure = np.full((1, 150, 3), 0.005)
    sure[0, np.arange(150), labels] = 0.99
    wrong = np.full((1, 150, 3), 0.495)
    wrong[0, np.arange(150), labels] = 0.01
    arms = {"ensemble": Predictions(probs), "better": Predictions(sure), "worse": Predictions(wrong)}
    arms = {name: [arm, arm] for name, arm in arms.items()}
    table = equivalence(arms, labels, metric="nll", resamples=100).set_index("arm")
    assert table.worth["better"] == table.low["better"] == table.high["better"] == math.inf
    assert table.worth["worse"] == table.low["worse"] == table.high["worse"] == 1


def test_infinite_scores_have_a_worth():
    probs, labels = network_members()
    votes = np.eye(3)[probs.argmax(axis=2)]
    table = worth({"ensemble": Predictions(probs), "votes": Predictions(votes)}, labels)
    assert table["votes"] == 1
    assert worth({"ensemble": Predictions(votes), "other": Predictions(probs)}, labels)["other"] == math.inf


def test_worth_is_found_by_hand():
    curve = np.array([[0.5, 0.4, 0.41, 0.3]])  # the third is worse than the second: the best so far counts
    values = np.array([[0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.29]])
    found = worth_of(curve, values, np.array([1.0, 2.0, 5.0, 10.0]))
    np.testing.assert_allclose(found, [[1, 1, 1.5, 2, 7.5, 10, np.inf]])


def test_a_metric_of_which_more_is_better_is_read_the_right_way():
    probs, labels = network_members()
    arms = {"ensemble": Predictions(probs), "half": Predictions(probs[:3])}
    by_error, by_accuracy = (
        equivalence(arms, labels, metric=metric, resamples=200, subsets=1000) for metric in ("error", "accuracy")
    )
    np.testing.assert_allclose(by_error[["worth", "low", "high"]], by_accuracy[["worth", "low", "high"]])
    np.testing.assert_allclose(by_error.value, 1 - by_accuracy.value)


def test_intervals_hold_the_worth_and_cover_the_true_one():
    true_worth, covered = 3, []
    for seed in range(30):
        probs, labels = network_members(seed, members=18, examples=200)
        halves = probs[:9], probs[9:]
        arms = {
            "ensemble": [Predictions(half[:6]) for half in halves],
            "other": [Predictions(half[6:]) for half in halves],
        }
        row = equivalence(arms, labels, metric="brier", resamples=200, subsets=1000).set_index("arm").loc["other"]
        assert row.low <= row.worth <= row.high
        covered.append(row.low <= true_worth <= row.high)
    assert np.mean(covered) >= 0.8  # of 95 %, for the six and the three are samples of networks too


def test_what_differs_between_repetitions_widens_the_interval():
    probs, labels = network_members(examples=300)
    reference = [Predictions(probs)] * 3
    middle = 0.97 * probs[:2] + 0.03 * np.eye(3)[labels][None]
    certain = np.eye(3)[labels][None]
    others = [Predictions((1 - by) * probs[:2] + by * certain) for by in (0.0, 0.03, 0.06)]
    alike, differing, alone = (
        equivalence({"ensemble": ensemble, "o": other}, labels, metric="brier", resamples=300, subsets=1000).loc[1]
        for ensemble, other in ((reference, others[1:2] * 3), (reference, others), (reference[0], Predictions(middle)))
    )
    assert differing.high - differing.low > 1.2 * (alike.high - alike.low)
    assert alike.worth == pytest.approx(alone.worth)


def test_what_other_networks_would_be_worth_cannot_be_told_from_one_repetition():
    probs, labels = network_members()
    table = equivalence({"ensemble": Predictions(probs), "half": Predictions(probs[:3])}, labels, metric="brier")
    assert table[["low", "high"]].isna().all().all()
    assert table.worth.notna().all()


@pytest.mark.parametrize(
    ("arms", "options", "match"),
    [
        (["other"], {}, "unknown reference 'ensemble'"),
        (["ensemble"], {"metric": "ece"}, "'ece' is no mean of examples"),
        (["ensemble"], {"metric": "nl"}, "did you mean 'nll'"),
        (["ensemble"], {"reference": "one"}, "unknown reference 'one'"),
        ([], {}, "at least one arm"),
    ],
)
def test_what_cannot_be_compared_is_refused(arms, options, match):
    probs, labels = network_members()
    with pytest.raises(InputError, match=match):
        equivalence({arm: Predictions(probs) for arm in arms}, labels, **options)


def test_a_single_network_is_no_reference():
    probs, labels = network_members()
    with pytest.raises(
        InputError, match="'ensemble' must have at least 2 members of equal weight to measure worth by, got 1"
    ):
        equivalence({"ensemble": Predictions(probs[:1])}, labels)


def costly_arms(seed=0):
    """An ensemble of four, one network, and forty passes of one network, which are worth less than the four."""
    probs, labels = network_members(members=25, examples=400)
    probs = probs[5 * seed : 5 * seed + 5]
    rng = np.random.default_rng(1)
    logits = np.log(probs[4]) + 0.3 * rng.normal(size=(40, 400, 3))
    passes = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    arms = {
        "ensemble": Predictions(probs[:4]),
        "dropout": Predictions(probs[4:5]),
        "mc_dropout": Predictions(passes),
    }
    cost = cost_table(
        {
            "ensemble": [Cost(400, 4000, 4, 8.0, 0.4)],
            "dropout": [Cost(100, 1000, 1, 2.0, 0.1)],
            "mc_dropout": [Cost(100, 1000, 40, 2.0, 4.0)],
        }
    )
    return arms, labels, cost


def test_every_arm_takes_part_at_the_size_that_the_budget_pays_for():
    arms, labels, cost = costly_arms()
    table = equal_cost(arms, labels, cost, metric="brier").set_index(["axis", "budget", "arm"]).sort_index()
    members = table.members
    assert members["parameters", 100.0].to_dict() == {"ensemble": 1, "dropout": 1, "mc_dropout": 40}
    assert members["parameters", 400.0].to_dict() == {"ensemble": 4, "dropout": 1, "mc_dropout": 40}
    assert members["passes", 1.0].to_dict() == {"ensemble": 1, "dropout": 1, "mc_dropout": 1}
    assert members["passes", 4.0].to_dict() == {"ensemble": 4, "dropout": 1, "mc_dropout": 4}
    assert members["passes", 40.0].to_dict() == {"ensemble": 4, "dropout": 1, "mc_dropout": 40}
    assert members["train_seconds", 2.0].to_dict() == {"ensemble": 1, "dropout": 1, "mc_dropout": 40}
    assert members["predict_seconds", 0.1].to_dict() == {"ensemble": 1, "dropout": 1, "mc_dropout": 1}
    assert (table.cost <= table.index.get_level_values("budget") * (1 + 1e-9)).all()


def test_values_are_those_of_the_size_curves_and_one_arm_is_best():
    arms, labels, cost = costly_arms()
    table = equal_cost(arms, labels, cost, metric="brier", axes=["passes"])
    for row in table.itertuples():
        run = arms[row.arm]
        values = size_curves({row.arm: run}, labels, ["brier"], sizes=[row.members], resamples=100)
        assert row.value == pytest.approx(values.set_index("members").value[row.members])
        assert row.low <= row.value <= row.high
    best = table[table.best]
    assert best.budget.tolist() == [1.0, 4.0, 40.0]
    lowest = table.groupby("budget").value.min()
    assert best.value.tolist() == pytest.approx(lowest.tolist())
    assert best.p_adjusted.isna().all()
    assert not best.shown.any()
    assert best.arm.tolist()[1:] == ["ensemble", "ensemble"]
    assert not table.shown.any()  # one repetition says nothing of training again


def test_what_repetitions_agree_on_is_shown():
    several = [costly_arms(seed) for seed in range(5)]
    labels, cost = several[0][1:]
    arms = {arm: [of_one[0][arm] for of_one in several] for arm in several[0][0]}
    table = equal_cost(arms, labels, cost, metric="brier", axes=["passes"])
    assert table[table.best].arm.tolist()[1:] == ["ensemble", "ensemble"]
    assert table[(table.budget == 40) & ~table.best].shown.all()
    narrow, wide = (equal_cost(arms, labels, cost, "brier", axes=["passes"], level=level) for level in (0.5, 0.99))
    assert ((wide.high - wide.low) > 1.5 * (narrow.high - narrow.low)).all()


def test_at_its_full_size_an_arm_is_the_mean_over_its_further_networks():
    arms, labels, cost = costly_arms()
    further = network_members(5, members=2, examples=400)[0]
    arms["mc_dropout"] = Predictions(arms["mc_dropout"].probs, further={"mean": further})
    table = equal_cost(arms, labels, cost, metric="brier", axes=["passes"]).set_index(["budget", "arm"])
    each = (arms["mc_dropout"].probs.mean(axis=0), *further)
    assert table.value[40.0, "mc_dropout"] == pytest.approx(np.mean([METRICS["brier"].value(p, labels) for p in each]))


def test_arms_alike_are_not_shown_to_differ():
    probs, labels = network_members(members=8, examples=200)
    arms = {"a": Predictions(probs[:4]), "b": Predictions(probs[4:])}
    cost = pd.DataFrame({"arm": ["a", "b"], "passes": [4.0, 4.0]})
    table = equal_cost(arms, labels, cost, metric="brier", axes=["passes"])
    assert not table.shown.any()


def test_costs_that_are_not_there_are_named():
    arms, labels, cost = costly_arms()
    with pytest.raises(InputError, match="cost must have the column 'energy'"):
        equal_cost(arms, labels, cost, axes=["energy"])
    with pytest.raises(InputError, match="cost must have one row for some of the arms"):
        equal_cost(arms, labels, cost[cost.arm == "none"])


def test_what_was_not_measured_and_what_is_free_take_part_as_far_as_they_can():
    arms, labels, cost = costly_arms()
    cost["bytes"] = [1600.0, float("nan"), 0.0]
    table = equal_cost(arms, labels, cost, metric="brier", axes=["bytes"])
    assert set(table.arm) == {"ensemble", "mc_dropout"}
    assert table[table.arm == "mc_dropout"].members.tolist() == [40, 40]
    with pytest.raises(InputError, match="cost must know at least one of bytes"):
        equal_cost(arms, labels, cost.assign(bytes=float("nan")), axes=["bytes"])
    with pytest.raises(InputError, match=r"axes must name at least one of its columns, got \[\]"):
        equal_cost(arms, labels, cost, axes=[])


def test_unequal_repetitions_are_refused_and_all_repetitions_count():
    arms, labels, cost = costly_arms()
    with pytest.raises(InputError, match=r"same repetitions, got 1 and 2 \('dropout'\)"):
        equal_cost(arms | {"dropout": [arms["dropout"]] * 2}, labels, cost)
    fewer = Predictions(arms["ensemble"].probs[:3])
    with pytest.raises(InputError, match=r"same members in each repetition, got \[4, 3\]"):
        equivalence({"ensemble": [arms["ensemble"], fewer]}, labels)
    other = network_members(7, members=4, examples=400)[0]
    both = equal_cost({"ensemble": [arms["ensemble"], Predictions(other)]}, labels, cost, "brier", axes=["passes"])
    values = [METRICS["brier"].value(probs.mean(axis=0), labels) for probs in (arms["ensemble"].probs, other)]
    assert both.value[0] == pytest.approx(np.mean(values))
    three = [Predictions(probs) for probs in (arms["ensemble"].probs, other, other)]
    wide = equal_cost({"ensemble": three}, labels, cost, "brier", axes=["passes"])
    assert wide.high[0] - wide.low[0] > 0.2 * abs(values[0] - values[1]) > both.high[0] - both.low[0]


def test_the_level_of_a_worth_is_kept():
    several = [costly_arms(seed) for seed in range(3)]
    arms = {arm: [of_one[0][arm] for of_one in several] for arm in several[0][0]}
    low, high = (
        equivalence(arms, several[0][1], metric="brier", level=level, resamples=500).set_index("arm").loc["mc_dropout"]
        for level in (0.5, 0.99)
    )
    assert high.high - high.low > low.high - low.low


def test_p_values_at_equal_cost_are_those_of_the_examples_where_networks_are_the_same_and_are_adjusted():
    probs, truth = network_members(members=12, examples=150)
    alike = {f"a{i}": [Predictions(probs[i : i + 1])] * 30 for i in range(12)}
    costs = pd.DataFrame({"arm": list(alike), "passes": 1.0})
    table = equal_cost(alike, truth, costs, "brier", axes=["passes"])
    values = np.array([METRICS["brier"].function(probs[i], truth) for i in range(12)])
    best = values.mean(axis=1).argmin()
    smallest = min(ttest_rel(values[i], values[best]).pvalue for i in range(12) if i != best)
    assert table.p_adjusted.min() == pytest.approx(min(1, 11 * smallest), rel=0.01)


def test_draws_differ_from_chunk_to_chunk():
    columns = np.random.default_rng(0).normal(size=(2, 3, 50))
    draws = np.concatenate(list(resampled(columns, 1200, 0)))
    assert draws.shape == (1200, 3)
    assert len(np.unique(draws[:, 0])) > 1190


def test_weighted_members_are_no_reference():
    probs, labels = network_members()
    weighted = Predictions(probs, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    with pytest.raises(InputError, match="members of equal weight"):
        equivalence({"ensemble": weighted}, labels)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"level": 95}, "level must lie"),
        ({"resamples": 1}, "resamples must be"),
        ({"rules": {"x": "mean"}}, "unknown arm in rules"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, match):
    probs, labels = network_members()
    with pytest.raises(InputError, match=match):
        equivalence({"ensemble": Predictions(probs)}, labels, **options)


def test_direction_of_a_metric_of_which_more_is_better():
    arms, labels, cost = costly_arms()
    table = equal_cost(arms, labels, cost, metric="accuracy", axes=["passes"])
    best = table[table.best].set_index("budget")
    assert best.value[40.0] == table[table.budget == 40].value.max()
    assert best.value[40.0] == pytest.approx(METRICS["accuracy"].value(arms[best.arm[40.0]].probs.mean(axis=0), labels))
